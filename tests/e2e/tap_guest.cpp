// tap_guest: serves a tap the way QEMU does, and misbehaves the way a hostile QEMU could.
//
//   host netns                    this process                    guest netns
//   tap vm3 (a port of bulkhead)  <── frame + virtio_net_hdr ──>  tap eth0 (the guest's kernel)
//
// Both taps carry a virtio_net_hdr and announce checksum and segmentation offloads, and every frame
// passes unchanged with its header. So the guest kernel's 64 KB TSO frames with unfinished
// checksums arrive at the host's tap exactly as from QEMU, and the other way round.
//
// Without --guest-dev nobody is behind the host's tap but this process: it drains what the tap gets
// (or, with --mute, never reads it) and writes what it is told to. Floods are asked for by --flood,
// or at any later time by a line on stdin: `flood KIND SECONDS COUNT`, answered by `sent N`.
//
// Prints "ready" once both taps exist. Ends on SIGTERM or when stdin ends; then says what it
// pumped. The taps vanish with it. Called by tests/e2e/lab.py, and by hand.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gso_frame.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using gso::Bytes;

using gso::VirtioNetHeader;
constexpr std::size_t kHeaderBytes = sizeof(VirtioNetHeader);
constexpr std::size_t kFrameBytesMax = 14 + 4 + 65'535;

struct Options {
  std::string host_netns, guest_netns, tap, guest_dev, flood;
  std::string src_mac = "52:54:00:00:00:01", dst_mac = "52:54:00:00:00:02";
  std::string src_ip = "192.0.2.1", dst_ip = "192.0.2.2";  // nobody answers the second one
  int mtu = 0;
  std::uint64_t count = 0;  // frames; 0: no limit
  double seconds = 0;       // 0: no limit
  bool mute = false;
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "tap_guest: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(
      stderr,
      "tap_guest: %s\n"
      "usage: tap_guest --tap NAME [--host-netns PATH] [--guest-netns PATH --guest-dev DEV]\n"
      "       [--mtu N] [--mute] [--flood tso|tso256|tso100|seg1|small|big|gso:...]\n"
      "       [--src-mac M] [--dst-mac M] [--src-ip A] [--dst-ip A] [--count N] [--seconds S]\n",
      why.c_str());
  std::exit(2);
}

Options parse_options(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::string*> texts = {{"--host-netns", &options.host_netns},
                                                     {"--tap", &options.tap},
                                                     {"--guest-netns", &options.guest_netns},
                                                     {"--guest-dev", &options.guest_dev},
                                                     {"--flood", &options.flood},
                                                     {"--src-mac", &options.src_mac},
                                                     {"--dst-mac", &options.dst_mac},
                                                     {"--src-ip", &options.src_ip},
                                                     {"--dst-ip", &options.dst_ip}};
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "--mute") {
      options.mute = true;
      continue;
    }
    if (i + 1 == argc) usage(word + " is unknown or lacks its value");
    const std::string value = argv[++i];
    if (const auto text = texts.find(word); text != texts.end()) {
      *text->second = value;
    } else if (word == "--mtu") {
      options.mtu = std::atoi(value.c_str());
    } else if (word == "--count") {
      options.count = std::strtoull(value.c_str(), nullptr, 10);
    } else if (word == "--seconds") {
      options.seconds = std::strtod(value.c_str(), nullptr);
    } else {
      usage(word + " is unknown");
    }
  }
  if (options.tap.empty()) usage("--tap is missing");
  if (options.guest_dev.empty() != options.guest_netns.empty()) {
    usage("--guest-dev and --guest-netns go together");
  }
  return options;
}

// --- taps ---------------------------------------------------------------------------------------

void enter_netns(const std::string& path) {
  if (path.empty()) return;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) die("network namespace " + path);
  close(fd);
}

/// Makes a tap in the caller's network namespace; it lives as long as the returned fd.
int make_tap(const std::string& name, int mtu) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) die("/dev/net/tun");
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd, TUNSETIFF, &request) != 0) die("TUNSETIFF " + name);
  int header_bytes = kHeaderBytes;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) != 0) die("TUNSETVNETHDRSZ " + name);
  const unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(fd, TUNSETOFFLOAD, offloads) != 0) die("TUNSETOFFLOAD " + name);
  if (mtu != 0) {
    const int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    request.ifr_mtu = mtu;
    if (control < 0 || ioctl(control, SIOCSIFMTU, &request) != 0) die("MTU of " + name);
    close(control);
  }
  return fd;
}

// --- pumping ------------------------------------------------------------------------------------

struct PumpCounters {
  std::atomic<std::uint64_t> frames{0}, refused{0}, frame_bytes_max{0};
};
PumpCounters to_host, to_guest;

/// Carries frames from one tap to the other until a tap is gone. A tap that is down refuses frames,
/// which is what a cable without a link does.
void pump(int from, int to, PumpCounters& counters) {
  Bytes buffer(kHeaderBytes + kFrameBytesMax);
  while (true) {
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got < 0) {
      if (errno == EBADFD || errno == EFAULT) std::_Exit(0);  // the tap was deleted
      usleep(1000);
      continue;
    }
    const auto frame_bytes = static_cast<std::uint64_t>(got) - kHeaderBytes;
    if (write(to, buffer.data(), static_cast<std::size_t>(got)) == got) {
      counters.frames++;
      if (frame_bytes > counters.frame_bytes_max) counters.frame_bytes_max = frame_bytes;
    } else {
      if (errno == EBADFD) std::_Exit(0);
      counters.refused++;
    }
  }
}

void drain(int from) {
  Bytes buffer(kHeaderBytes + kFrameBytesMax);
  while (true) {
    if (read(from, buffer.data(), buffer.size()) >= 0) continue;
    if (errno == EBADFD || errno == EFAULT) std::_Exit(0);
    usleep(1000);
  }
}

// --- floods -------------------------------------------------------------------------------------

void put16(Bytes& bytes, std::size_t at, std::uint32_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}

void put_mac(Bytes& bytes, std::size_t at, const std::string& text) {
  std::array<unsigned, 6> octets{};
  if (std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &octets[0], &octets[1], &octets[2], &octets[3],
                  &octets[4], &octets[5]) != 6) {
    usage(text + " is not a MAC address");
  }
  for (std::size_t i = 0; i < 6; i++) bytes.at(at + i) = static_cast<std::uint8_t>(octets[i]);
}

void put_ip(Bytes& bytes, std::size_t at, const std::string& text) {
  std::array<unsigned, 4> octets{};
  if (std::sscanf(text.c_str(), "%u.%u.%u.%u", &octets[0], &octets[1], &octets[2], &octets[3]) !=
      4) {
    usage(text + " is not an IPv4 address");
  }
  for (std::size_t i = 0; i < 4; i++) bytes.at(at + i) = static_cast<std::uint8_t>(octets[i]);
}

/// RFC 1071 sum of 16-bit words, folded, not complemented.
std::uint32_t sum16(const Bytes& bytes, std::size_t from, std::size_t to, std::uint32_t sum = 0) {
  for (std::size_t i = from; i < to; i += 2) {
    sum += std::uint32_t{bytes[i]} << 8 | (i + 1 < to ? bytes[i + 1] : 0);
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

/// A virtio_net_hdr and an IPv4 frame of `frame_bytes`. With a segment size it is TCP, to be
/// segmented, its checksum holding the pseudo header's sum only; else UDP without a checksum.
Bytes make_frame(const Options& options, std::size_t frame_bytes, unsigned segment_bytes) {
  constexpr std::size_t kIp = kHeaderBytes + 14, kTransport = kIp + 20;
  Bytes bytes(kHeaderBytes + frame_bytes);
  put_mac(bytes, kHeaderBytes, options.dst_mac);
  put_mac(bytes, kHeaderBytes + 6, options.src_mac);
  put16(bytes, kHeaderBytes + 12, 0x0800);
  bytes[kIp] = 0x45;
  put16(bytes, kIp + 2, static_cast<std::uint32_t>(frame_bytes - 14));
  bytes[kIp + 8] = 64;
  bytes[kIp + 9] = segment_bytes ? 6 : 17;
  put_ip(bytes, kIp + 12, options.src_ip);
  put_ip(bytes, kIp + 16, options.dst_ip);
  put16(bytes, kIp + 10, ~sum16(bytes, kIp, kTransport) & 0xffff);
  put16(bytes, kTransport, 4009);   // source port
  put16(bytes, kTransport + 2, 9);  // discard
  if (segment_bytes == 0) {
    put16(bytes, kTransport + 4, static_cast<std::uint32_t>(frame_bytes - 34));
    return bytes;
  }
  bytes[kTransport + 12] = 5 << 4;
  bytes[kTransport + 13] = 0x10;  // ACK
  const auto tcp_bytes = static_cast<std::uint32_t>(frame_bytes - 34);
  put16(bytes, kTransport + 16, sum16(bytes, kIp + 12, kTransport, 6 + tcp_bytes));
  VirtioNetHeader header{};
  header.flags = VirtioNetHeader::kNeedsChecksum;
  header.gso_type = VirtioNetHeader::kTcp4;
  header.header_length = 54;
  header.gso_size = static_cast<std::uint16_t>(segment_bytes);
  header.checksum_start = 34;
  header.checksum_offset = 16;
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Bytes make_flood_frame(const Options& options, const std::string& kind) {
  constexpr std::size_t kTsoBytes = 14 + 65'500;
  if (kind.starts_with("gso:")) {
    Bytes macs(12);
    put_mac(macs, 0, options.dst_mac);
    put_mac(macs, 6, options.src_mac);
    return gso::make(gso::recipe_of(kind), macs);
  }
  if (kind == "tso") return make_frame(options, kTsoBytes, 1448);
  if (kind == "tso256") return make_frame(options, kTsoBytes, 256);
  if (kind == "tso100") return make_frame(options, kTsoBytes, 100);
  if (kind == "seg1") return make_frame(options, 54 + 60'001, 1);
  if (kind == "small") return make_frame(options, 64, 0);
  if (kind == "big") return make_frame(options, 9000, 0);
  usage("--flood " + kind + " is unknown");
}

/// Writes one frame over and over until the count or the time is up or stdin has ended; returns how
/// many the kernel took.
std::uint64_t flood(int tap, const Options& options, const std::string& kind, double seconds,
                    std::uint64_t count) {
  const Bytes frame = make_flood_frame(options, kind);
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(seconds > 0 ? seconds : 1e6));
  std::uint64_t sent = 0;
  for (std::uint64_t i = 0; (count == 0 || sent < count) && Clock::now() < end; i++) {
    if (i % 64 == 63) {
      pollfd input{STDIN_FILENO, 0, 0};
      if (poll(&input, 1, 0) > 0 && (input.revents & POLLHUP)) break;
    }
    if (write(tap, frame.data(), frame.size()) == static_cast<ssize_t>(frame.size())) {
      sent++;
    } else if (errno == EINVAL && kind.starts_with("gso:")) {
      break;  // the kernel has seen through the lie
    } else if (errno == EINVAL) {
      die("the kernel does not accept a frame of kind " + kind);
    } else if (errno == EBADFD) {
      std::_Exit(0);
    } else {
      usleep(1000);  // the tap is down, or out of memory
    }
  }
  return sent;
}

void serve_stdin(int tap, const Options& options) {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command, kind;
    double seconds = 0;
    std::uint64_t count = 0;
    words >> command >> kind >> seconds >> count;
    if (command != "flood") usage("stdin: " + line + " is unknown");
    const auto sent = flood(tap, options, kind, seconds, count);
    std::printf("sent %llu\n", static_cast<unsigned long long>(sent));
  }
}

void report() {
  const auto say = [](const char* direction, const PumpCounters& counters) {
    std::printf("%s frames %llu refused %llu frame_bytes_max %llu\n", direction,
                static_cast<unsigned long long>(counters.frames),
                static_cast<unsigned long long>(counters.refused),
                static_cast<unsigned long long>(counters.frame_bytes_max));
  };
  say("to_host", to_host);
  say("to_guest", to_guest);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);

  enter_netns(options.host_netns);
  const int host_tap = make_tap(options.tap, options.mtu);
  if (!options.guest_dev.empty()) {
    enter_netns(options.guest_netns);
    const int guest_tap = make_tap(options.guest_dev, options.mtu);
    std::thread(pump, guest_tap, host_tap, std::ref(to_host)).detach();
    if (!options.mute) std::thread(pump, host_tap, guest_tap, std::ref(to_guest)).detach();
  } else if (!options.mute) {
    std::thread(drain, host_tap).detach();
  }
  std::puts("ready");

  if (!options.flood.empty()) {
    const auto sent = flood(host_tap, options, options.flood, options.seconds, options.count);
    std::printf("sent %llu\n", static_cast<unsigned long long>(sent));
  }
  serve_stdin(host_tap, options);
  report();
  std::fflush(stdout);
  std::_Exit(0);
}
