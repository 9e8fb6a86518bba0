// The reference: what docs/ISOLATION.md says of a frame, in the slowest and plainest way. Written
// from that text and not from the dataplane, of which it includes nothing; names are strings,
// tables are maps, time has 64 bits.
//
// Time: the caller says with second_passed() when a second ends; it tells nothing of ageing, which
// is exact to the millisecond.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::reference {

using Mac = std::uint64_t;  // the first octet is the most significant of six

using Address = std::vector<std::uint8_t>;  // four or sixteen octets

struct Prefix {
  Address address;
  std::size_t bits = 0;
};

struct Port {
  std::string segment;
  std::set<Mac> macs;  // bound; none: the port learns
  std::set<Mac> shared_macs;
  bool any_ip = false;
  std::set<int> families;   // 4 and 6, as far as its binding has addresses of it
  std::vector<Prefix> own;  // addresses, prefixes, shared and link-local addresses
  std::vector<Prefix> routes;
  std::vector<Address> broadcasts;  // of its subnets
  bool any_link_local = false;
  std::set<std::string> allow;
  std::map<std::string, std::uint64_t> limit;  // frames a second; none: no limit
  bool enforce = true;
  bool trusted = false;
  bool isolated = false;
  bool transit = false;
  bool unknown = false;
  bool up = true;
  bool away = false;  // for more than a minute
  std::uint32_t mac_max = 0;
  std::uint32_t mtu = 0;

  // In shadow a port is as one with mac = "any" and ip = "any".
  [[nodiscard]] bool learns() const { return macs.empty() || (!enforce && !trusted); }
  [[nodiscard]] bool takes_any_ip() const { return any_ip || (!enforce && !trusted); }
};

struct Segment {
  std::uint64_t ageing_ms = 0;
  std::uint32_t mac_limit = 0;
};

struct World {
  std::map<std::string, Port> ports;
  std::map<std::string, Segment> segments;
  std::map<std::pair<std::string, Mac>, std::string> statics;  // (segment, address) to port
};

/// What becomes of a frame.
struct Result {
  std::string reason;                          // why it was dropped on its way in; "" if it was not
  bool flooded = false;                        // else it had one port to go to, if not dropped
  std::set<std::string> delivered;             // ports that got it
  std::map<std::string, std::string> refused;  // ports that would have got it, and why not
  std::string shadow;  // why it would have been dropped, were its port enforced
  std::map<std::string, std::string> shadowed;  // who got it and would have refused it, and why
};

/// When the moves of an address may or may not have been forgotten, a caller who cannot know says
/// what it saw.
enum class Flapping { by_the_second, as_seen_no, as_seen_yes };

class Bridge {
 public:
  struct Entry {
    std::string port;
    std::uint64_t seen_ms = 0;
  };
  using Place = std::pair<std::string, Mac>;  // segment and address

  explicit Bridge(World world) : world_(std::move(world)) {}

  /// `head`: how many bytes are in the first buffer, in which the headers must be.
  Result receive(const std::string& from, const std::vector<std::uint8_t>& bytes, std::size_t head,
                 std::uint64_t now_ms, Flapping flapping = Flapping::by_the_second);
  void second_passed(std::uint64_t now_ms);
  /// Nobody can tell when this is called: an entry counts until it is as old as the ageing.
  void forget_the_old(std::uint64_t now_ms);
  /// A reload. What was learned stays, where the port still learns and nobody has it bound.
  void change(World world);

  /// Whether this address may have moved so often within two sweeps, and a step of time between
  /// them, that it counts as flapping.
  [[nodiscard]] bool may_flap(const Place& place, std::uint64_t now_ms) const;
  [[nodiscard]] std::string owner_of(const std::string& segment, Mac mac) const;
  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const std::map<Place, Entry>& learned(std::uint64_t now_ms);
  [[nodiscard]] bool reaches(const std::string& from, const std::string& to) const;

 private:
  struct Packet;
  struct Bucket {
    std::uint64_t thousandths = 0;
    std::uint64_t at_ms = 0;
  };

  using Names = std::set<std::string>;

  [[nodiscard]] Names owners_of(const std::string& segment, const Address& address) const;
  [[nodiscard]] Names holders_of(const std::string& segment, const Address& address) const;
  [[nodiscard]] bool speaks(const std::string& port, int family) const;
  [[nodiscard]] bool is_others(const std::string& port, const Address& address) const;
  [[nodiscard]] bool has_claims_left(const std::string& port) const;
  [[nodiscard]] bool may_claim(const std::string& port, const Address& address) const;
  [[nodiscard]] bool may_send_from(const std::string& port, const Address& address) const;
  [[nodiscard]] bool is_own_mac(const std::string& port, const Packet& packet) const;

  [[nodiscard]] std::string ingress_fault(const std::string& from, const Packet& packet) const;
  [[nodiscard]] std::string guest_fault(const std::string& from, const Packet& packet) const;
  [[nodiscard]] std::string arp_fault(const std::string& from, const Packet& packet) const;
  [[nodiscard]] std::string ipv4_fault(const std::string& from, const Packet& packet) const;
  [[nodiscard]] std::string ipv6_fault(const std::string& from, const Packet& packet) const;
  [[nodiscard]] std::string role_fault(const std::string& from, const Packet& packet) const;
  [[nodiscard]] bool is_away(const std::string& segment, Mac mac) const;
  [[nodiscard]] bool are_away(const Names& names) const;
  [[nodiscard]] bool is_others_mac(const std::string& from, Mac mac) const;
  [[nodiscard]] bool speaks_for_others(const std::string& from, const Packet& packet) const;
  [[nodiscard]] bool breaks_law_4(const std::string& from, const Packet& packet) const;
  [[nodiscard]] std::string learning_fault(const std::string& from, Mac source,
                                           Flapping flapping) const;
  [[nodiscard]] std::string egress_fault(const std::string& to, const Packet& packet) const;
  [[nodiscard]] bool listed_at(const std::string& to, Mac mac) const;
  [[nodiscard]] bool is_not_others(const std::string& to, const Packet& packet) const;
  [[nodiscard]] bool egress_covers(const std::string& to, const Packet& packet) const;
  [[nodiscard]] std::string binder_of(const std::string& segment, Mac mac) const;
  [[nodiscard]] bool is_shared(const std::string& segment, Mac mac) const;

  [[nodiscard]] Names up_and(const std::string& from, bool (*wanted)(const Port&)) const;
  void send_to_mac(const std::string& from, Mac mac, Result& result, Names& candidates) const;
  void send_to_group(const std::string& from, const Packet& packet, Result& result,
                     Names& candidates) const;
  void ask(const std::string& from, const Address& address, Result& result,
           Names& candidates) const;

  [[nodiscard]] bool has_token(const std::string& from, const std::string& budget,
                               std::uint64_t now_ms) const;
  void spend(const std::string& from, const std::string& budget, std::uint64_t now_ms);
  [[nodiscard]] std::string claimant_of(const std::string& segment, const Address& address) const;
  void claim(const std::string& from, const Address& address, std::uint64_t now_ms);
  void learn(const std::string& from, Mac source, std::uint64_t now_ms);

  World world_;
  std::map<Place, Entry> table_;
  std::map<Place, std::vector<std::uint64_t>> moves_;  // when
  struct Claim {
    std::string port;
    std::uint64_t seen_ms = 0;
  };
  std::map<std::pair<std::string, Address>, Claim> claims_;  // of link-local addresses
  std::map<std::pair<std::string, std::string>, Bucket> buckets_;
  std::uint64_t second_began_ms_ = 0;
};

}  // namespace bulkhead::reference
