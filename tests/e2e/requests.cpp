// requests: short questions and answers over TCP connections that stay open, as between a web
// server and its clients. Both sides are one thread and epoll.
//
//   requests serve PORT ANSWER_BYTES                           until SIGTERM; prints "ready"
//   requests ask ADDRESS PORT CONNECTIONS SECONDS ANSWER_BYTES prints a line of JSON
//
// A connection asks, waits for the whole answer, and asks again at once. What is told: how many
// answers came, and their times from question to last byte in microseconds. Those of the first
// tenth of the time are left out. Called by tests/e2e and bench, in the network namespaces of a
// lab.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kQuestionBytes = 64;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "requests: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

sockaddr_in address_of(const char* ip, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) die(ip);
  return address;
}

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

void no_delay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int serve(const char* port, std::size_t answer_bytes) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const sockaddr_in address = address_of("0.0.0.0", port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 4096) != 0) {
    die("listen");
  }
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, listener);
  std::puts("ready");
  const std::string answer(answer_bytes, 'a');
  std::vector<std::size_t> asked(65'536);  // bytes of the question so far, by connection
  std::array<epoll_event, 256> events;
  std::array<char, 4096> buffer;
  while (true) {
    const int count = epoll_wait(epoll, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int peer = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer < 0) continue;
        no_delay(peer);
        asked[static_cast<std::size_t>(peer)] = 0;
        watch(epoll, peer);
        continue;
      }
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        close(fd);
        continue;
      }
      std::size_t& bytes = asked[static_cast<std::size_t>(fd)];
      for (bytes += static_cast<std::size_t>(got); bytes >= kQuestionBytes;
           bytes -= kQuestionBytes) {
        send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);  // fits in the socket's buffer
      }
    }
  }
}

struct Connection {
  Clock::time_point asked;
  std::size_t left = 0;  // bytes of the answer
};

int ask(const char* ip, const char* port, std::size_t connections, double seconds,
        std::size_t answer_bytes) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const sockaddr_in address = address_of(ip, port);
  std::vector<Connection> by_fd(65'536);
  std::vector<int> fds;
  for (std::size_t i = 0; i < connections; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      die("connect");
    }
    no_delay(fd);
    watch(epoll, fd);
    fds.push_back(fd);
  }
  const std::string question(kQuestionBytes, 'q');
  const auto put = [&](int fd, Clock::time_point now) {
    by_fd[static_cast<std::size_t>(fd)] = {now, answer_bytes};
    if (send(fd, question.data(), question.size(), MSG_NOSIGNAL) < 0) die("send");
  };
  const auto start = Clock::now();
  const auto span =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (const int fd : fds) put(fd, start);
  std::vector<double> micros;
  std::array<epoll_event, 256> events;
  std::vector<char> buffer(1 << 16);
  for (auto now = start; now < start + span; now = Clock::now()) {
    const int count = epoll_wait(epoll, events.data(), events.size(), 100);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got <= 0) die("recv");
      Connection& connection = by_fd[static_cast<std::size_t>(fd)];
      connection.left -= std::min(connection.left, static_cast<std::size_t>(got));
      if (connection.left > 0) continue;
      now = Clock::now();
      if (now - start > span / 10) {
        micros.push_back(std::chrono::duration<double, std::micro>(now - connection.asked).count());
      }
      put(fd, now);
    }
  }
  // What was not answered by now has taken this long at least.
  for (const int fd : fds) {
    const auto waited = Clock::now() - by_fd[static_cast<std::size_t>(fd)].asked;
    if (waited > span / 4) {
      micros.push_back(std::chrono::duration<double, std::micro>(waited).count());
    }
  }
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double part) {
    return micros.empty()
               ? 0.0
               : micros[static_cast<std::size_t>(part * static_cast<double>(micros.size() - 1))];
  };
  std::printf(
      "{\"answers\": %zu, \"per_second\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, "
      "\"max_us\": %.0f}\n",
      micros.size(), static_cast<double>(micros.size()) / (0.9 * seconds), at(0.5), at(0.99),
      at(1.0));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const rlimit many{65'000, 65'000};
  setrlimit(RLIMIT_NOFILE, &many);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "serve" && argc == 4) return serve(argv[2], std::strtoul(argv[3], nullptr, 10));
  if (mode == "ask" && argc == 7) {
    return ask(argv[2], argv[3], std::strtoul(argv[4], nullptr, 10), std::strtod(argv[5], nullptr),
               std::strtoul(argv[6], nullptr, 10));
  }
  std::fputs(
      "usage: requests serve PORT ANSWER_BYTES\n"
      "       requests ask ADDRESS PORT CONNECTIONS SECONDS ANSWER_BYTES\n",
      stderr);
  return 2;
}
