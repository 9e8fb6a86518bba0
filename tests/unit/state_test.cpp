// The state file: what comes back of it, that it is whole at any moment, and what becomes of one
// that is not.
#include "control/state.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

#include "backends/error.hpp"
#include "control/pending_file.hpp"

namespace bulkhead::control {
namespace {

namespace fs = std::filesystem;
using config::Config;

class State : public testing::Test {
 protected:
  State() {
    std::string name = testing::TempDir() + "bulkhead-state-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    path_ = directory_ / "state";
  }
  ~State() override { fs::remove_all(directory_); }

  std::string text() const { return text_of(path_); }
  static std::string text_of(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  void write(const std::string& text) const { std::ofstream(path_) << text; }
  std::string error_of_opening() const {
    try {
      StateFile state(path_);
    } catch (const BackendError& error) {
      return error.what();
    }
    return "";
  }
  /// What a start would make of the state, with this configuration file.
  StateFile::Restored restored(const std::string& file = kFile) const {
    return StateFile(path_).restore(config::parse(file, "b.toml"));
  }

  static constexpr const char* kFile =
      "[port.vm1]\ndevice = \"vm1\"\nmac = \"52:54:00:00:00:01\"\nip = \"any\"\n"
      "[port.up]\ndevice = \"up\"\ntrusted = true\n"
      "[[fdb]]\nmac = \"52:54:00:00:00:05\"\nport = \"up\"\n";
  fs::path directory_;
  fs::path path_;
};

config::Port guest(const std::string& name, std::uint64_t mac) {
  config::Port port;
  port.name = port.device = name;
  port.macs = {MacAddress{mac}};
  port.any_ip = true;
  return port;
}

/// kFile's with a guest and a static address by command.
Config with_commands(Config config) {
  config.ports["late"] = guest("late", 0x525400000009);
  config.statics.push_back({MacAddress{0x525400000006}, "up"});
  return config;
}

void ignore(const Config&) {}

TEST_F(State, ComesBack) {
  {
    StateFile state(path_);
    const auto first = state.restore(config::parse(kFile, "b.toml"));
    EXPECT_TRUE(first.complete);
    EXPECT_EQ(first.config.ports.size(), 2U);
    state.change(first.config, with_commands(first.config), ignore);
  }
  const auto again = restored();
  EXPECT_TRUE(again.complete);
  ASSERT_EQ(again.config.ports.size(), 3U);
  EXPECT_TRUE(again.config.ports.at("late").same_as(guest("late", 0x525400000009)));
  EXPECT_TRUE(again.config.ports.at("late").by_command());
  EXPECT_FALSE(again.config.ports.at("vm1").by_command());
  ASSERT_EQ(again.config.statics.size(), 2U);
  EXPECT_EQ(again.config.statics[1].mac, MacAddress{0x525400000006});
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
}

TEST_F(State, IsWrittenOnlyWhenCommandsChangeSomething) {
  StateFile state(path_);
  Config config = state.restore(config::parse(kFile, "b.toml")).config;
  const auto time = fs::last_write_time(path_);
  struct stat before {
  }, after{};
  ::stat(path_.c_str(), &before);
  Config next = config;
  next.ports.at("vm1").isolated = true;  // of the file: it lives until the next reload
  bool done = false;
  state.change(config, next, [&](const Config& now) { done = now.ports.at("vm1").isolated; });
  EXPECT_TRUE(done);
  ::stat(path_.c_str(), &after);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(fs::last_write_time(path_), time);
}

TEST_F(State, AFailedChangeLeavesItAsItWas) {
  StateFile state(path_);
  const Config config = state.restore(config::parse(kFile, "b.toml")).config;
  const std::string before = text();
  EXPECT_THROW(state.change(config, with_commands(config),
                            [](const Config&) { throw BackendError("no device"); }),
               BackendError);
  EXPECT_EQ(text(), before);
  EXPECT_FALSE(fs::exists(directory_ / "state.new"));
  state.change(config, with_commands(config), ignore);  // it still can
  EXPECT_NE(text(), before);
}

TEST_F(State, WhatCannotBeWrittenIsNotPutInForce) {
  StateFile state(path_);
  const Config config = state.restore(config::parse(kFile, "b.toml")).config;
  fs::rename(directory_, directory_.string() + ".away");
  bool done = false;
  try {
    state.change(config, with_commands(config), [&](const Config&) { done = true; });
    ADD_FAILURE() << "it could be written";
  } catch (const BackendError& error) {
    EXPECT_EQ(error.what(), "state " + path_.string() +
                                ": cannot be written: No such file or directory; nothing has "
                                "changed; mend that and try again");
  }
  EXPECT_FALSE(done);
  fs::rename(directory_.string() + ".away", directory_);
  state.change(config, with_commands(config), ignore);
  EXPECT_NE(text().find("[port.late]"), std::string::npos);
}

TEST_F(State, AChangeThatCannotBeKeptIsUndone) {
  StateFile state(path_);
  const Config config = state.restore(config::parse(kFile, "b.toml")).config;
  std::vector<std::size_t> ports;
  EXPECT_THROW(state.change(config, with_commands(config),
                            [&](const Config& now) {
                              ports.push_back(now.ports.size());
                              if (fs::is_directory(path_)) return;
                              fs::remove(path_);
                              fs::create_directories(path_ / "in the way");
                            }),
               BackendError);
  EXPECT_EQ(ports, (std::vector<std::size_t>{3, 2}));
}

TEST_F(State, RemainsOfAKilledDaemonAreNoObstacle) {
  std::ofstream(directory_ / "state.new") << "half of i";
  StateFile state(path_);
  const Config config = state.restore(config::parse(kFile, "b.toml")).config;
  state.change(config, with_commands(config), ignore);
  EXPECT_NE(text().find("[port.late]"), std::string::npos);
  EXPECT_FALSE(fs::exists(directory_ / "state.new"));
}

TEST_F(State, HasOneDaemonAtATime) {
  std::optional<StateFile> state(std::in_place, path_);
  const std::string refused =
      "state " + path_.string() + ": another bulkheadd has it; stop it or choose another `state`";
  EXPECT_EQ(error_of_opening(), refused);
  const Config config = state->restore(config::parse(kFile, "b.toml")).config;
  state->change(config, with_commands(config), ignore);
  EXPECT_EQ(error_of_opening(), refused);  // the lock goes with the new file
  state.reset();
  EXPECT_EQ(error_of_opening(), "");
}

TEST_F(State, IsAFileInADirectory) {
  const std::string elsewhere = "; choose another `state`, in a directory that exists";
  path_ = directory_ / "none" / "state";
  EXPECT_EQ(error_of_opening(), "state " + path_.string() +
                                    ": cannot be opened: No such file or directory" + elsewhere);
  path_ = directory_;
  EXPECT_EQ(error_of_opening(),
            "state " + path_.string() + ": cannot be opened: Is a directory" + elsewhere);
  path_ = "/dev/null";  // not to be replaced by a file
  EXPECT_EQ(error_of_opening(),
            "state /dev/null: is something else than a file; choose another `state`");
  path_ = directory_ / "fifo";
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_NE(error_of_opening(), "");
}

TEST_F(State, ACorruptOneIsSetAside) {
  write("[port.late\n");
  const auto now = restored();
  EXPECT_FALSE(now.complete);
  EXPECT_EQ(now.config.ports.size(), 2U);
  EXPECT_EQ(text_of(directory_ / "state.bad"), "[port.late\n");
  EXPECT_EQ(config::parse_state(text(), "state").ports.size(), 0U);
  EXPECT_FALSE(restored().complete);  // as long as it is there
  fs::remove(directory_ / "state.bad");
  EXPECT_TRUE(restored().complete);
}

TEST_F(State, EachOneThatIsSetAsideHasAFile) {
  write("[port.one\n");
  EXPECT_FALSE(restored().complete);
  write("[port.two\n");
  EXPECT_FALSE(restored().complete);
  EXPECT_EQ(text_of(directory_ / "state.bad"), "[port.one\n");
  EXPECT_EQ(text_of(directory_ / "state.bad.2"), "[port.two\n");
  write("[port.three\n");
  fs::create_directory(directory_ / "state.new");  // so that it cannot be replaced
  std::ofstream(directory_ / "state.new" / "in the way").close();
  EXPECT_FALSE(restored().complete);
  EXPECT_FALSE(restored().complete);
  EXPECT_EQ(text_of(directory_ / "state.bad.3"), "[port.three\n");
  EXPECT_FALSE(fs::exists(directory_ / "state.bad.4"));
  fs::remove_all(directory_ / "state.new");
  write("");
  fs::remove(directory_ / "state.bad.3");
  fs::remove(directory_ / "state.bad");
  EXPECT_FALSE(restored().complete);
  fs::remove(directory_ / "state.bad.2");
  std::ofstream(directory_ / "state.badge").close();  // somebody else's
  EXPECT_TRUE(restored().complete);
}

TEST_F(State, WhatCannotBeSetAsideStays) {
  const std::string name(NAME_MAX - 4, 's');  // no room for .bad.2
  path_ = directory_ / name;
  write("[port.late\n");
  fs::create_directories(directory_ / (name + ".bad") / "in the way");
  EXPECT_FALSE(restored().complete);
  EXPECT_EQ(text(), "[port.late\n");
}

TEST_F(State, ALinkToItStaysOne) {
  const fs::path file = directory_ / "file";
  std::ofstream(file).close();
  fs::create_symlink(file, path_);
  StateFile state(path_);
  const Config config = state.restore(config::parse(kFile, "b.toml")).config;
  state.change(config, with_commands(config), ignore);
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_NE(text_of(file).find("[port.late]"), std::string::npos);
}

TEST_F(State, WhatTheFileRulesOutIsSetAside) {
  const std::string good =
      "[port.good]\ndevice = \"g\"\nmac = \"52:54:00:00:00:07\"\nip = \"any\"\n";
  const std::string bad = "[port.bad]\ndevice = \"b\"\nmac = \"52:54:00:00:00:01\"\nip = \"any\"\n";
  write(good + bad);
  const auto now = restored();
  EXPECT_FALSE(now.complete);
  EXPECT_TRUE(now.config.ports.contains("good"));
  EXPECT_FALSE(now.config.ports.contains("bad"));
  EXPECT_EQ(text_of(directory_ / "state.bad"), good + bad);
  EXPECT_EQ(text().find("[port.bad]"), std::string::npos);
  EXPECT_NE(text().find("[port.good]"), std::string::npos);
}

TEST_F(State, WhatTheFileSaysNowIsTheFiles) {
  write(
      "[port.vm1]\ndevice = \"vm1\"\nmac = \"52:54:00:00:00:01\"\nip = \"any\"\n"
      "[[fdb]]\nmac = \"52:54:00:00:00:05\"\nport = \"up\"\n");
  const auto now = restored();
  EXPECT_TRUE(now.complete);
  EXPECT_EQ(now.config.statics.size(), 1U);
  EXPECT_TRUE(restored("").config.ports.empty());  // gone with the file
}

std::vector<std::string> left_out(Config& config, const std::string& commands) {
  return add_commands(config, config::parse_state(commands, "state"));
}

std::string port_text(const std::string& name, const std::string& more) {
  return "[port." + name + "]\ndevice = \"" + name + "\"\nip = \"any\"\n" + more + "\n";
}

TEST_F(State, SaysWhatIsLeftOutAndWhy) {
  Config config = config::parse(kFile, "b.toml");
  const auto texts = left_out(
      config, port_text("a", "mac = \"any\"") + port_text("b", "mac = \"52:54:00:00:00:05\"") +
                  port_text("c", "mac = \"52:54:00:00:00:0c\"") + port_text("d", "") +
                  port_text("vm1", "mac = \"52:54:00:00:00:0d\"") +
                  "[port.e]\ndevice = \"vm1\"\ntrusted = true\n"
                  "[[fdb]]\nmac = \"52:54:00:00:00:01\"\nport = \"up\"\n"
                  "[[fdb]]\nmac = \"52:54:00:00:00:05\"\nport = \"a\"\n"
                  "[[fdb]]\nmac = \"52:54:00:00:00:06\"\nport = \"a\"\n"
                  "[[fdb]]\nmac = \"52:54:00:00:00:07\"\nport = \"d\"\n");
  const std::string where = " of the same segment; remove one of them";
  EXPECT_EQ(texts,
            (std::vector<std::string>{
                "port vm1: is another one in the configuration file",
                "address 52:54:00:00:00:05: is bound to port b" + where,
                "port d: a guest needs `mac` and `ip` (or \"any\"); say trusted = true to give up "
                "isolation",
                "port e: device vm1 already belongs to port vm1; a device attaches one port",
                "address 52:54:00:00:00:01: is bound to port vm1" + where,
                "address 52:54:00:00:00:05: is static on port up" + where,
                "address 52:54:00:00:00:07: there is no port d; name one that learns"}));
  EXPECT_EQ(config.ports.size(), 4U);
  EXPECT_EQ(config.statics.size(), 2U);
  EXPECT_NO_THROW(config::check(config));
}

TEST_F(State, HundredsAreAddedAtOnce) {
  Config config;
  std::string commands;
  for (int i = 0; i < 1000; ++i) {
    commands += port_text("p" + std::to_string(i), "trusted = true\nsegment = \"x\"");
  }
  EXPECT_TRUE(left_out(config, commands).empty());
  EXPECT_EQ(config.ports.size(), 1000U);
  EXPECT_TRUE(config.segments.contains("x"));
  config = {};
  const auto texts = left_out(config, commands + "[port.q]\ndevice = \"p0\"\ntrusted = true\n");
  EXPECT_EQ(texts,
            std::vector<std::string>{"port q: device p0 already belongs to port p0; a device "
                                     "attaches one port"});
  EXPECT_EQ(config.ports.size(), 1000U);
}

TEST_F(State, APendingFileIsThereOrNot) {
  const std::string path = directory_ / "file", beside = directory_ / "beside";
  {
    PendingFile file(path, beside, "one", 0600);
    EXPECT_THROW(PendingFile(path, beside, "two", 0600), std::system_error);
    EXPECT_TRUE(fs::exists(beside));
  }
  EXPECT_FALSE(fs::exists(path) || fs::exists(beside));
  PendingFile file(path, beside, "one", 0604);
  file.commit();
  EXPECT_EQ(text_of(path), "one");
  EXPECT_FALSE(fs::exists(beside));
  struct stat info {};
  ::stat(path.c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0604U);
  EXPECT_THROW(PendingFile("/dev/x", "/dev/full/x", "one", 0600), std::system_error);
}

}  // namespace
}  // namespace bulkhead::control
