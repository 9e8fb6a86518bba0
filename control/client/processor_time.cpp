#include "control/client/processor_time.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace bulkhead::control {
namespace {

struct Usage {
  std::string name;
  std::uint64_t ticks = 0;
};

/// From a line such as "12 (a name) S 1 ..." of proc(5): fields 14 and 15 are utime and stime.
std::optional<Usage> usage_of(const std::filesystem::path& task) {
  std::ifstream file(task / "stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(close + 1));
  constexpr int kFieldsBefore = 11;  // 3 to 13
  std::string skipped;
  for (int i = 0; i < kFieldsBefore; ++i) fields >> skipped;
  std::uint64_t user = 0, system = 0;
  fields >> user >> system;
  return Usage{text.substr(open + 1, close - open - 1), user + system};
}

}  // namespace

std::vector<ProcessorTime::Thread> ProcessorTime::measure(double seconds) {
  const auto ticks_a_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::map<pid_t, std::uint64_t> now;
  std::map<pid_t, Thread> threads;
  std::error_code error;
  const std::filesystem::path tasks = "/proc/" + std::to_string(pid_) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    const auto usage = usage_of(task.path());
    if (!usage) continue;
    const auto number = static_cast<pid_t>(std::atoi(task.path().filename().c_str()));
    now[number] = usage->ticks;
    const auto place = before_.find(number);
    if (place == before_.end() || seconds <= 0) continue;
    const double ticks = static_cast<double>(usage->ticks - place->second);
    threads[number] = {usage->name, ticks / ticks_a_second / seconds};
  }
  before_ = std::move(now);
  std::vector<Thread> by_number;
  for (auto& [number, thread] : threads) by_number.push_back(std::move(thread));
  return by_number;
}

}  // namespace bulkhead::control
