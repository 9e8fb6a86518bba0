// How busy the threads of a process are, read from /proc: it costs the process nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bulkhead::control {

class ProcessorTime {
 public:
  struct Thread {
    std::string name;
    double share;  // of one processor
  };

  explicit ProcessorTime(pid_t pid) : pid_(pid) {}
  /// Since the look before, `seconds` ago: threads by number, none at the first look or where /proc
  /// cannot be read.
  [[nodiscard]] std::vector<Thread> measure(double seconds);

 private:
  pid_t pid_;
  std::map<pid_t, std::uint64_t> before_;  // ticks, by thread
};

}  // namespace bulkhead::control
