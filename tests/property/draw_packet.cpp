#include "tests/property/draw_packet.hpp"

namespace bulkhead::test {
namespace {

void add(Bytes& to, const Bytes& what) { to.insert(to.end(), what.begin(), what.end()); }

void add(Bytes& to, std::uint64_t value, std::size_t size) {
  to.resize(to.size() + size);
  put(to, to.size() - size, value, size);
}

Bytes zeros(std::size_t count) { return Bytes(count); }

/// Mostly the first, sometimes one of the others.
std::uint64_t mostly(Dice& dice, std::uint64_t first, const std::vector<std::uint64_t>& others) {
  return dice.chance(85) ? first : dice.pick(others);
}

class Draw {
 public:
  Draw(const Cast& cast, Dice& dice) : cast_(cast), dice_(dice), destination_(cast.destination) {}

  Bytes frame() {
    std::uint16_t type = kIpv4;
    Bytes body;
    const std::size_t what = dice_.roll(100);
    if (what < 25) {
      type = kArp;
      body = arp();
    } else if (what < 60) {
      body = ipv4();
    } else {
      type = kIpv6;
      body = ipv6();
    }
    Bytes bytes;
    add(bytes, destination_.value, 6);
    add(bytes, cast_.source.value, 6);
    add(bytes, type, 2);
    add(bytes, body);
    return bytes;
  }

 private:
  MacAddress mac() { return dice_.chance(85) ? cast_.source : cast_.other_mac; }
  const Bytes& v4() { return dice_.chance(80) ? cast_.own_v4 : cast_.other_v4; }
  const Bytes& v6() { return dice_.chance(80) ? cast_.own_v6 : cast_.other_v6; }
  void to_group(std::uint64_t address) {
    if (dice_.chance(85)) destination_ = {address};
  }

  Bytes arp() {
    if (dice_.chance(70)) to_group(0xffff'ffff'ffff);
    Bytes bytes;
    add(bytes, mostly(dice_, 1, {0, 6}), 2);
    add(bytes, mostly(dice_, 0x0800, {0x86dd, 0}), 2);
    add(bytes, mostly(dice_, 0x0604, {0x0406, 0x0610}), 2);
    add(bytes, dice_.pick<std::uint64_t>({1, 1, 1, 2, 2, mostly(dice_, 1, {0, 3, 8})}), 2);
    add(bytes, mac().value, 6);
    const Bytes sender = dice_.chance(20) ? zeros(4) : v4();
    add(bytes, sender);
    const std::vector<MacAddress> targets{{0}, cast_.destination, cast_.other_mac};
    add(bytes, dice_.pick(targets).value, 6);
    add(bytes, dice_.chance(20)   ? sender
               : dice_.chance(25) ? v4()
               : dice_.chance(5)  ? zeros(4)
                                  : cast_.other_v4);
    return bytes;
  }

  Bytes udp(const std::vector<std::uint64_t>& ports, const Bytes& body) {
    Bytes bytes;
    add(bytes, dice_.pick(ports), 2);
    add(bytes, dice_.pick(ports), 2);
    add(bytes, 8 + body.size(), 2);
    add(bytes, 0, 2);
    add(bytes, body);
    return bytes;
  }

  Bytes dhcp() {
    Bytes bytes;
    add(bytes, dice_.pick<std::uint64_t>({1, 1, 2, mostly(dice_, 1, {0, 3})}), 1);
    add(bytes, mostly(dice_, 1, {6}), 1);
    add(bytes, mostly(dice_, 6, {8}), 1);
    add(bytes, zeros(9));
    add(bytes, dice_.chance(60) ? zeros(4) : v4());  // ciaddr
    add(bytes, zeros(8));
    add(bytes, dice_.chance(85) ? 0 : dice_.roll(3), 4);  // giaddr
    const bool answers = bytes[0] == 2;
    add(bytes, answers ? cast_.other_mac.value : mac().value, 6);
    add(bytes, zeros(dice_.roll(12)));
    if (dice_.chance(8)) bytes.resize(dice_.roll(bytes.size()));
    return bytes;
  }

  Bytes ipv4() {
    Bytes source = v4();
    Bytes to = cast_.other_v4;
    std::uint64_t protocol = 0;
    Bytes body;
    Bytes options;
    switch (dice_.roll(6)) {
      case 0: {
        protocol = 17;
        body = dhcp();
        const bool answers = !body.empty() && body[0] == 2;
        body =
            udp(answers ? std::vector<std::uint64_t>{67, 68} : std::vector<std::uint64_t>{68, 67},
                body);
        if (dice_.chance(75))
          put(body, 0, answers ? 67 : 68, 2), put(body, 2, answers ? 68 : 67, 2);
        if (dice_.chance(45)) source = zeros(4);
        if (dice_.chance(80)) to = Bytes(4, 255);
        if (dice_.chance(80)) to_group(0xffff'ffff'ffff);
        break;
      }
      case 1:
        protocol = 2;
        add(body, dice_.pick<std::uint64_t>({0x11, 0x12, 0x16, 0x17, 0x22, 0x13, 0x30}), 1);
        add(body, zeros(7));
        if (dice_.chance(50)) source = zeros(4);
        if (dice_.chance(90)) to = {224, 0, 0, 251};
        to_group(0x0100'5e00'00fb);
        break;
      case 2:
        protocol = 1;
        add(body, dice_.pick<std::uint64_t>({8, 8, 5, 9, 3, 10}), 1);
        add(body, zeros(15));
        break;
      case 3:
        protocol = dice_.pick<std::uint64_t>({112, 88, 89, 103, 9, 0, 41, 47, 50, 58});
        body = zeros(dice_.roll(24));
        break;
      case 4:
        protocol = 17;
        body = udp({520, 521, 546, 547, 1985, 2029, 3222, 9, 53, 67, 68}, zeros(dice_.roll(20)));
        break;
      default:
        protocol = dice_.pick<std::uint64_t>({6, 6, 17, 253});
        body = zeros(dice_.roll(30));
    }
    if (dice_.chance(15)) {
      options = dice_.pick<Bytes>({{148, 4, 0, 0},
                                   {7, 4, 4, 0},
                                   {131, 4, 4, 0},
                                   {1, 137, 3, 0},
                                   {1, 1, 1, 0},
                                   {68, 0, 0, 0},
                                   {1, 1, 1, 7},
                                   {30, 4, 0, 0}});
    }
    if (dice_.chance(10)) {
      to =
          dice_.pick<Bytes>({{255, 255, 255, 255}, {224, 0, 0, 1}, {10, 0, 0, 255}, {10, 0, 0, 7}});
    }
    Bytes bytes;
    add(bytes, mostly(dice_, 0x45 + options.size() / 4, {0x44, 0x4f, 0x65, 0x46}), 1);
    add(bytes, 0, 1);
    const std::size_t total = 20 + options.size() + body.size();
    add(bytes, dice_.chance(92) ? total : dice_.roll(2 * total), 2);
    add(bytes, 7, 2);
    add(bytes, dice_.chance(80) ? 0 : dice_.pick<std::uint64_t>({0x2000, 0x4000, 1, 0x2003}), 2);
    add(bytes, 64, 1);
    add(bytes, protocol, 1);
    add(bytes, 0, 2);
    add(bytes, source);
    add(bytes, to);
    add(bytes, options);
    add(bytes, body);
    return bytes;
  }

  Bytes nd_options() {
    Bytes bytes;
    while (dice_.chance(50)) {
      const std::uint64_t kind = dice_.pick<std::uint64_t>({1, 1, 1, 2, 2, 14, 3, 33, 253});
      add(bytes, kind, 1);
      add(bytes, mostly(dice_, 1, {0, 2, 9}), 1);
      add(bytes, mac().value, 6);
    }
    if (dice_.chance(3)) add(bytes, zeros(dice_.roll(8)));
    return bytes;
  }

  /// An ICMPv6 message; `to` and `source` become what it wants.
  Bytes icmpv6(Bytes& source, Bytes& to) {
    const auto type = dice_.pick<std::uint64_t>(
        {133, 134, 135, 135, 135, 136, 136, 137, 130, 131, 132, 143, 128, 138, 141, 151, 155, 1});
    Bytes bytes;
    add(bytes, type, 1);
    add(bytes, type < 133 || type > 137 ? 0 : mostly(dice_, 0, {1}), 1);
    add(bytes, zeros(6));
    const Bytes all_nodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (type >= 130 && type <= 132) add(bytes, zeros(16));
    if (type == 134) add(bytes, zeros(8));
    if (type == 137) add(bytes, zeros(32));
    if (type == 135 || type == 136) {
      const bool is_dad = type == 135 && dice_.chance(45);
      if (is_dad) source = zeros(16);
      const Bytes target = type == 136 || is_dad ? v6() : cast_.other_v6;
      add(bytes, target);
      if (type == 135 && dice_.chance(85)) {
        to = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[13], target[14], target[15]};
        to_group(0x3333'ff00'0000 | std::uint64_t{target[13]} << 16 |
                 std::uint64_t{target[14]} << 8 | target[15]);
      }
      if (!is_dad || dice_.chance(5)) add(bytes, nd_options());
    } else if (type != 1 && type != 128) {
      if (dice_.chance(80)) to = all_nodes;
      to_group(0x3333'0000'0001);
      if (dice_.chance(20)) source = zeros(16);
      if (type >= 133 && type <= 137) add(bytes, nd_options());
    }
    if (dice_.chance(3)) bytes.resize(dice_.roll(bytes.size()));
    return bytes;
  }

  /// A header of the chain; which one it is goes to `protocol`, what follows it is there so far.
  Bytes extension(std::uint64_t& protocol) {
    Bytes bytes;
    const std::uint64_t next = protocol;
    protocol =
        dice_.pick<std::uint64_t>({0, 0, 43, 44, 44, 51, 60, 60, mostly(dice_, 60, {135, 253})});
    add(bytes, next, 1);
    if (protocol == 44) {
      add(bytes, 0, 1);
      add(bytes, dice_.pick<std::uint64_t>({0, 1, 1, 8, 0xfff8}), 2);
      add(bytes, 7, 4);
    } else if (protocol == 43) {
      add(bytes, 0, 1);
      add(bytes, mostly(dice_, 2 + dice_.roll(3), {0, 1, 5}), 1);
      add(bytes, zeros(5));
    } else if (protocol == 51) {
      add(bytes, 0x0200, 2);
      add(bytes, zeros(13));
    } else {
      add(bytes, mostly(dice_, 0, {1, 30}), 1);
      add(bytes, dice_.pick<Bytes>({{1, 4, 0, 0, 0, 0},
                                    {5, 2, 0, 0, 1, 0},
                                    {0, 0, 0, 0, 0, 0},
                                    {1, 4, 0, 0, 0, 0},
                                    {0xc9, 4, 0, 0, 0, 0},
                                    {1, 5, 0, 0, 0, 0}}));
    }
    return bytes;
  }

  Bytes ipv6() {
    Bytes source = v6();
    Bytes to = cast_.other_v6;
    std::uint64_t protocol = 58;
    Bytes body;
    const std::size_t what = dice_.roll(10);
    if (what < 7) {
      body = icmpv6(source, to);
    } else if (what < 9) {
      protocol = 17;
      body = zeros(dice_.roll(10));
      if (!body.empty()) body[0] = static_cast<std::uint8_t>(dice_.roll(15));
      body = udp({546, 547, 546, 547, 521, 2029, 53}, body);
      if (dice_.chance(40)) to_group(0x3333'0001'0002);
      if (dice_.chance(40)) to = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2};
    } else {
      protocol = dice_.pick<std::uint64_t>({6, 59, 112, 89, 103, 47, 50});
      body = zeros(dice_.roll(40));
    }
    const bool is_mld = protocol == 58 && body.size() > 8;
    std::size_t headers = dice_.chance(25) ? 1 + dice_.roll(3) : 0;
    if (dice_.chance(1)) headers = 8 + dice_.roll(2);
    for (; headers > 0; --headers) {
      Bytes chain = extension(protocol);
      add(chain, body);
      body = chain;
    }
    Bytes bytes;
    add(bytes, mostly(dice_, 0x60, {0x60, 0x60, 0x40}) << 24, 4);
    add(bytes, dice_.chance(94) ? body.size() : dice_.roll(2 * body.size() + 1), 2);
    add(bytes, protocol, 1);
    add(bytes, is_mld ? mostly(dice_, 255, {1, 64}) : 64, 1);
    add(bytes, source);
    add(bytes, to);
    add(bytes, body);
    return bytes;
  }

  const Cast& cast_;
  Dice& dice_;
  MacAddress destination_;
};

}  // namespace

Bytes draw_packet(const Cast& cast, Dice& dice) {
  Bytes bytes = Draw(cast, dice).frame();
  if (dice.chance(12)) {
    for (std::size_t i = 0; i <= dice.roll(2); ++i) {
      std::uint8_t& byte = bytes[14 + dice.roll(bytes.size() - 14)];
      byte = dice.chance(50) ? static_cast<std::uint8_t>(dice.roll(256))
                             : static_cast<std::uint8_t>(byte ^ 1u << dice.roll(8));
    }
  }
  return bytes;
}

}  // namespace bulkhead::test
