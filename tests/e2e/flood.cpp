// flood: sends one kind of frame as fast as it goes, or at a rate, out of a device of the network
// namespace it runs in, and prints how many the kernel took: `sent N`.
//
// AF_PACKET past the queueing discipline, 64 frames a system call: on one core about a million
// 60-byte frames a second. With --random-src every frame has a source of its own, as macof does.
// Called by tests/e2e/lab.py, and by hand.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kBatch = 64;

struct Options {
  std::string dev = "eth0", src_mac, dst_mac, src_ip = "192.0.2.1", dst_ip = "192.0.2.2";
  bool random_src = false;
  std::size_t size = 60;    // bytes on the wire less the frame check sequence
  double rate = 0;          // frames a second; 0: no limit
  double seconds = 0;       // 0: no limit
  std::uint64_t count = 0;  // frames; 0: no limit
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "flood: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr,
               "flood: %s\n"
               "usage: flood --dst-mac M (--src-mac M | --random-src) [--dev eth0] [--size 60]\n"
               "       [--src-ip A] [--dst-ip A] [--rate N] [--seconds S] [--count N]\n",
               why.c_str());
  std::exit(2);
}

Options parse_options(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::string*> texts = {{"--dev", &options.dev},
                                                     {"--src-mac", &options.src_mac},
                                                     {"--dst-mac", &options.dst_mac},
                                                     {"--src-ip", &options.src_ip},
                                                     {"--dst-ip", &options.dst_ip}};
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "--random-src") {
      options.random_src = true;
      continue;
    }
    if (i + 1 == argc) usage(word + " is unknown or lacks its value");
    const std::string value = argv[++i];
    if (const auto text = texts.find(word); text != texts.end()) {
      *text->second = value;
    } else if (word == "--size") {
      options.size = std::strtoul(value.c_str(), nullptr, 10);
    } else if (word == "--rate") {
      options.rate = std::strtod(value.c_str(), nullptr);
    } else if (word == "--seconds") {
      options.seconds = std::strtod(value.c_str(), nullptr);
    } else if (word == "--count") {
      options.count = std::strtoull(value.c_str(), nullptr, 10);
    } else {
      usage(word + " is unknown");
    }
  }
  if (options.dst_mac.empty()) usage("--dst-mac is missing");
  if (options.src_mac.empty() && !options.random_src) usage("--src-mac is missing");
  if (options.size < 42) usage("--size is below 42, an IPv4 and a UDP header");
  return options;
}

void put_mac(Bytes& bytes, std::size_t at, const std::string& text) {
  std::array<unsigned, 6> octets{};
  if (std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &octets[0], &octets[1], &octets[2], &octets[3],
                  &octets[4], &octets[5]) != 6) {
    usage(text + " is not a MAC address");
  }
  for (std::size_t i = 0; i < 6; i++) bytes.at(at + i) = static_cast<std::uint8_t>(octets[i]);
}

void put16(Bytes& bytes, std::size_t at, std::uint32_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}

/// IPv4 and UDP to the discard port, valid, without a UDP checksum.
Bytes make_frame(const Options& options) {
  Bytes bytes(options.size);
  put_mac(bytes, 0, options.dst_mac);
  put_mac(bytes, 6, options.random_src ? "02:00:00:00:00:00" : options.src_mac);
  put16(bytes, 12, 0x0800);
  bytes[14] = 0x45;
  put16(bytes, 16, static_cast<std::uint32_t>(options.size - 14));
  bytes[22] = 64;
  bytes[23] = 17;
  if (inet_pton(AF_INET, options.src_ip.c_str(), &bytes[26]) != 1) usage("--src-ip");
  if (inet_pton(AF_INET, options.dst_ip.c_str(), &bytes[30]) != 1) usage("--dst-ip");
  std::uint32_t sum = 0;
  for (std::size_t i = 14; i < 34; i += 2) sum += std::uint32_t{bytes[i]} << 8 | bytes[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(bytes, 24, ~sum & 0xffff);
  put16(bytes, 34, 4009);
  put16(bytes, 36, 9);
  put16(bytes, 38, static_cast<std::uint32_t>(options.size - 34));
  return bytes;
}

int open_socket(const std::string& dev) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);  // protocol 0: sends only
  if (fd < 0) die("AF_PACKET socket");
  const int on = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) {
    die("PACKET_QDISC_BYPASS");
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(if_nametoindex(dev.c_str()));
  if (address.sll_ifindex == 0) die("device " + dev);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind to " + dev);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const int fd = open_socket(options.dev);

  std::vector<Bytes> frames(kBatch, make_frame(options));
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  for (std::size_t i = 0; i < kBatch; i++) {
    parts[i] = {frames[i].data(), frames[i].size()};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  std::mt19937_64 random(std::random_device{}());
  const auto start = Clock::now();
  std::uint64_t sent = 0;
  while (options.count == 0 || sent < options.count) {
    const double elapsed_seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (options.seconds > 0 && elapsed_seconds >= options.seconds) break;
    std::uint64_t allowed = kBatch;
    if (options.count != 0) allowed = std::min(allowed, options.count - sent);
    if (options.rate > 0) {
      const auto due = static_cast<std::uint64_t>(elapsed_seconds * options.rate) + 1;
      if (due <= sent) {  // a wake-up for each frame at most: fifty of us leave others a core
        const auto at = std::chrono::duration<double>(static_cast<double>(sent) / options.rate);
        std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(at));
        continue;
      }
      allowed = std::min(allowed, due - sent);
    }
    if (options.random_src) {
      for (std::size_t i = 0; i < allowed; i++) {
        const std::uint64_t draw = random();
        std::memcpy(&frames[i][7], &draw, 5);  // the first octet stays 02: local and unicast
      }
    }
    const int taken = sendmmsg(fd, messages.data(), static_cast<unsigned>(allowed), 0);
    if (taken > 0) {
      sent += static_cast<std::uint64_t>(taken);
    } else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR && errno != ENETDOWN) {
      die("sendmmsg");
    }
  }
  std::printf("sent %llu\n", static_cast<unsigned long long>(sent));
  return 0;
}
