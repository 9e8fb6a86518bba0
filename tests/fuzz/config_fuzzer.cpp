// config::parse() with whatever text: it gives a configuration or a ConfigError of one line, and
// what it gives passes check() again, and written and read again is written the same.
#include <cstdint>
#include <cstdlib>

#include "config/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::string written;
  try {
    const auto config = bulkhead::config::parse(text, "fuzz.toml");
    bulkhead::config::check(config);
    written = bulkhead::config::to_toml(config);
  } catch (const bulkhead::config::ConfigError& error) {
    const std::string message = error.what();
    if (message.empty() || message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto read = bulkhead::config::parse(written, "written.toml");
  if (bulkhead::config::to_toml(read) != written) std::abort();
  return 0;
}
