// frame_cost PORTS ADDRESSES ROUNDS: as many rounds of 64 frames, for tests/instructions.py, which
// counts what they cost under callgrind. Prints the frames that arrived.
#include <cstdio>
#include <cstdlib>

#include "bench/guests.hpp"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: frame_cost PORTS ADDRESSES ROUNDS\n", stderr);
    return 2;
  }
  const auto number = [&](int i) { return std::strtoul(argv[i], nullptr, 10); };
  bulkhead::Rounds rounds(number(1), number(2));
  for (unsigned long i = 0; i < number(3); ++i) rounds.run();
  std::printf("%llu\n", static_cast<unsigned long long>(rounds.sent()));
}
