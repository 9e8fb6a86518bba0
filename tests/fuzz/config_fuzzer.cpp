// config::parse() with whatever text: it gives a configuration or a ConfigError of one line, and
// what it gives passes check() again.
#include <cstdint>
#include <cstdlib>

#include "config/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    bulkhead::config::check(bulkhead::config::parse(text, "fuzz.toml"));
  } catch (const bulkhead::config::ConfigError& error) {
    const std::string message = error.what();
    if (message.empty() || message.find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
