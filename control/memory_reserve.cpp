#include "control/memory_reserve.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <utility>

namespace bulkhead::control {
namespace {

constexpr std::size_t kBytes = 16 << 20;  // address space: nothing is ever in it
void* reserve = nullptr;

void give_back() {
  if (reserve != nullptr) ::munmap(std::exchange(reserve, nullptr), kBytes);
  throw std::bad_alloc();
}

}  // namespace

void MemoryReserve::install() {
  require();
  std::set_new_handler(give_back);
}

void MemoryReserve::require() {
  if (reserve != nullptr) return;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  reserve = memory;
}

}  // namespace bulkhead::control
