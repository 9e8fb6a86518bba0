// What is wrong with a command line, in one line for whoever typed it: which word nobody knows and
// which one it probably stands for, or what is missing. Called by both programs before CLI11 reads
// the words; what is left for CLI11 to refuse are values.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace bulkhead::control {

/// The words of main() behind the program's name, as CLI11 wants them: `--allow=` in two, with the
/// empty word that it means.
std::vector<std::string> words_of(int argc, const char* const* argv);

/// Empty if every word is known and none is missing.
std::string usage_fault(const CLI::App& app, const std::vector<std::string>& words);

/// Parses. The text of `app --help` or of --version if that is what is asked for, else empty.
/// Throws std::invalid_argument with one line: a usage_fault(), or a value that cannot be.
std::string parse_words(CLI::App& app, const std::vector<std::string>& words);

}  // namespace bulkhead::control
