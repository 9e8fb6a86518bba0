// The worker allocates nothing, takes no lock and makes no system call, hence logs nothing,
// whatever the frames: the corpus, in all batches and orders, and stations that come, move and age.
//
// In a process of its own: what is allocated and locked is counted by functions that stand in for
// the C library's, and the kernel is told to refuse every system call (seccomp), which names it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <random>

#include "tests/unit/corpus.hpp"
#include "tests/unit/test_bridge.hpp"

namespace {

/// What the watched process did, told to the one that waits for it.
struct Noise {
  bool watching = false;
  bool finished = false;
  std::uint64_t allocations = 0;  // and what was freed
  std::uint64_t locks = 0;
  long system_call = -1;  // the first
};
Noise quiet;
Noise* noise = &quiet;

}  // namespace

#ifndef BULKHEAD_SANITIZED  // which stand in for these themselves
static void count(std::uint64_t& what) {
  if (noise->watching) ++what;
}

extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* before, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* memory);

void* malloc(std::size_t bytes) noexcept {
  count(noise->allocations);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t number, std::size_t bytes) noexcept {
  count(noise->allocations);
  return __libc_calloc(number, bytes);
}
void* realloc(void* before, std::size_t bytes) noexcept {
  count(noise->allocations);
  return __libc_realloc(before, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  count(noise->allocations);
  return __libc_memalign(alignment, bytes);
}
void free(void* memory) noexcept {
  count(noise->allocations);
  __libc_free(memory);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  static const auto kLock =
      reinterpret_cast<int (*)(pthread_mutex_t*)>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  count(noise->locks);
  return kLock(mutex);
}
}
#endif

namespace bulkhead {
namespace {

using test::TestBridge;

/// Hands out frames at random, some of them in two buffers; takes two of three.
class Replay : public Backend {
 public:
  explicit Replay(TestBridge& bridge) : pool_(bridge.pool) {
    for (const test::Case& a_case : test::corpus()) {
      if (a_case.bytes.size() <= pool_.chunk_bytes()) {
        samples_.push_back({bridge.port(a_case.from), a_case.bytes});
      }
    }
    // Stations behind two ports that learn, some of them behind both.
    for (const char* from : {"anymac", "uplink"}) {
      const std::uint64_t first = bridge.port(from) == bridge.port("uplink") ? 0x120 : 0x100;
      for (std::uint64_t station = first; station < first + 64; ++station) {
        const MacAddress source{0x0200'0000'0000 + station};
        samples_.push_back({bridge.port(from), test::frame(test::mac('*'), source)});
        test::put(samples_.back().bytes, 26, 0xc0a8'321e, 4);  // anymac's IPv4 address
      }
    }
  }

  std::size_t receive(std::span<Frame> batch) override {
    const std::size_t frames = 1 + random_() % batch.size();
    for (Frame& frame : batch.first(frames)) {
      const Sample& sample = samples_[random_() % samples_.size()];
      const auto length = static_cast<std::uint32_t>(sample.bytes.size());
      const std::uint32_t split = random_() % 4 == 0 ? length / 2 : length;
      frame = {fill(sample.bytes.data(), split), length, sample.from};
      if (split < length) frame.head->next = fill(sample.bytes.data() + split, length - split);
    }
    return frames;
  }
  std::size_t send(PortIndex, std::span<const Frame> frames) override {
    const std::size_t taken = (2 * frames.size() + 2) / 3;
    for (const Frame& frame : frames.first(taken)) pool_.release(frame.head);
    return taken;
  }
  bool settle() override { return false; }
  void plug(PortIndex, Attachment*) override {}
  Attachment* unplug(PortIndex) override { return nullptr; }

 private:
  struct Sample {
    PortIndex from;
    test::Bytes bytes;
  };

  Buffer* fill(const std::uint8_t* bytes, std::uint32_t length) {
    Buffer* buffer = pool_.take();
    buffer->data = pool_.start_of(buffer->chunk);
    buffer->length = length;
    std::memcpy(buffer->data, bytes, length);
    return buffer;
  }

  BufferPool& pool_;
  std::vector<Sample> samples_;
  std::minstd_rand random_;
};

void tell_of_system_call(int, siginfo_t* info, void*) {
  noise->system_call = info->si_syscall;
  ::_exit(1);
}

/// From now on every system call but the end of the process is told of.
void refuse_system_calls() {
  struct sigaction action {};
  action.sa_sigaction = tell_of_system_call;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSYS, &action, nullptr);
  std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(2);
}

/// Does it in a process of its own. Says what was heard of it.
Noise listen_to(const std::function<void()>& work) {
  void* shared =
      ::mmap(nullptr, sizeof(Noise), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::bad_alloc();
  noise = new (shared) Noise;
  const pid_t child = ::fork();
  if (child == 0) {
    refuse_system_calls();
    noise->watching = true;
    work();
    noise->watching = false;
    noise->finished = true;
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  const Noise heard = *noise;
  noise = &quiet;
  ::munmap(shared, sizeof(Noise));
  return heard;
}

class QuietTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef BULKHEAD_SANITIZED
    GTEST_SKIP() << "sanitizers allocate, lock and make system calls of their own";
#endif
  }
};

TEST_F(QuietTest, HearsEverything) {
  const Noise memory = listen_to([] {
    void* volatile something = ::operator new(1);  // the compiler may not leave it out
    ::operator delete(something);
  });
  const Noise lock = listen_to([] {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    ::pthread_mutex_lock(&mutex);
  });
  const Noise call = listen_to([] { (void)!::write(2, "", 0); });
  EXPECT_TRUE(memory.finished);
  EXPECT_EQ(memory.allocations, 2u);
  EXPECT_EQ(lock.locks, 1u);
  EXPECT_EQ(call.system_call, SYS_write);
  EXPECT_FALSE(call.finished);
}

TEST_F(QuietTest, NoRoundAllocatesLocksOrCalls) {
  constexpr int kRounds = 5'000;
  TestBridge bridge(config::parse(test::corpus_text("config.toml"), "config.toml"));
  bridge.sites.at("absent").up = false;
  bridge.reload();
  Replay replay(bridge);
  Worker worker(bridge.pool, {&replay}, *bridge.mailbox, bridge.snapshot.get(), bridge.fdb.get());
  CaptureRing capture(std::nullopt);
  worker.forwarder().reporter().set_capture(nullptr, &capture);
  worker.forwarder().reporter().set_limit(DropReporter::kWatched);
  std::uint32_t now_ms = 0;
  const auto run = [&] {
    for (int i = 0; i < kRounds; ++i) worker.round(now_ms += 7);
  };
  run();
  const Noise heard = listen_to(run);
  EXPECT_TRUE(heard.finished);
  EXPECT_EQ(heard.system_call, -1) << "the system call's number";
  EXPECT_EQ(heard.allocations, 0u);
  EXPECT_EQ(heard.locks, 0u);
  // That it has met everything: in the first run, which the second is like.
  PortCounters all;
  for (const auto& [name, site] : bridge.sites) {
    const PortCounters& of = worker.forwarder().counters(site.index);
    all.unicast += of.unicast;
    all.flooded += of.flooded;
    all.sent += of.sent;
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
      all.dropped[i] += of.dropped[i] + of.refused[i];
    }
  }
  EXPECT_GT(all.unicast, 1'000u);
  EXPECT_GT(all.flooded, 1'000u);
  EXPECT_GT(all.sent, 1'000u);
  for (std::size_t i = 0; i < kDropReasonCount; ++i) {
    EXPECT_GT(all.dropped[i], 0u) << kDropReasons[i].name;
  }
  EXPECT_GT(bridge.mailbox->events_lost.load(), 0u) << "the ring to control was full, too";
  EXPECT_GT(capture.lost(), 0u);
}

}  // namespace
}  // namespace bulkhead
