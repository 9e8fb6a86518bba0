#include "control/usage.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "config/nearest.hpp"

namespace bulkhead::control {
namespace {

/// What other programs call ours.
struct Synonym {
  std::string_view theirs, ours;
};
constexpr std::array kSynonyms{
    Synonym{"list", "show"},      Synonym{"ls", "show"},        Synonym{"get", "show"},
    Synonym{"delete", "del"},     Synonym{"remove", "del"},     Synonym{"rm", "del"},
    Synonym{"create", "add"},     Synonym{"new", "add"},        Synonym{"change", "set"},
    Synonym{"modify", "set"},     Synonym{"clear", "flush"},    Synonym{"watch", "monitor"},
    Synonym{"events", "monitor"}, Synonym{"counters", "stats"}, Synonym{"help", "--help"},
};

std::string quoted(const std::string& word) {
  constexpr std::size_t kShown = 64;
  return '`' + word.substr(0, kShown) + (word.size() > kShown ? "...`" : "`");
}

/// The options of the command and of those above it; `positional`: the words without a dash.
std::vector<const CLI::Option*> options_of(const CLI::App* app, bool positional) {
  std::vector<const CLI::Option*> options;
  for (; app != nullptr; app = positional ? nullptr : app->get_parent()) {
    for (const CLI::Option* option : app->get_options([](const CLI::Option*) { return true; })) {
      if (option->get_positional() == positional) options.push_back(option);
    }
  }
  return options;
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

/// Goes through the words as CLI11 will, and stops at the first that it cannot take.
class Walk {
 public:
  Walk(const CLI::App& app, const std::vector<std::string>& words) : at_(&app), words_(words) {}

  std::string fault() {
    std::string fault;
    while (next_ < words_.size() && fault.empty()) {
      const std::string& word = words_[next_++];
      if (word == "--") return {};  // what follows is nobody's option
      fault = is_option(word) ? option(word) : at_has_commands() ? command(word) : positional(word);
    }
    if (fault.empty() && !asks_for_help_) fault = missing();
    return fault;
  }

 private:
  static bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

  [[nodiscard]] std::vector<const CLI::App*> commands() const {
    return at_->get_subcommands([](const CLI::App*) { return true; });
  }
  [[nodiscard]] bool at_has_commands() const { return !commands().empty(); }
  /// "port add: ", for a message about what is wrong there.
  [[nodiscard]] std::string where() const { return path_.empty() ? "" : path_ + ": "; }

  [[nodiscard]] const CLI::Option* find(const std::string& name) const {
    for (const CLI::Option* option : options_of(at_, false)) {
      if (option->check_name(name)) return option;
    }
    return nullptr;
  }

  [[nodiscard]] bool is_known_option(const std::string& word) const {
    return is_option(word) && find(word.substr(0, word.find('='))) != nullptr;
  }

  std::string option(const std::string& word) {
    const auto equals = word.find('=');
    std::string name = word.substr(0, equals);
    const bool is_short = word[1] != '-';
    if (is_short && find(name.substr(0, 2)) != nullptr) name.resize(2);  // -wFILE
    const CLI::Option* option = find(name);
    if (option == nullptr) return unknown_option(name);
    asks_for_help_ |= name == "--help" || name == "-h" || name == "--version";
    if (++given_[option] > 1 && option->get_items_expected_max() == 1) {
      return where() + name + " is given twice; remove one";
    }
    after_flag_ = is_flag(*option) ? name : "";
    const bool has_value = equals != std::string::npos || (is_short && word.size() > 2);
    if (is_flag(*option) || has_value) return {};
    if (next_ == words_.size() || is_known_option(words_[next_])) {
      return where() + name + " lacks its value";
    }
    ++next_;
    take_more_values(*option);
    return {};
  }

  /// As CLI11: as many as there are, but none that the command needs itself.
  void take_more_values(const CLI::Option& option) {
    if (option.get_items_expected_max() == 1) return;
    while (next_ < words_.size() && !is_option(words_[next_]) &&
           words_.size() - next_ > words_needed()) {
      ++next_;
    }
  }

  [[nodiscard]] std::size_t words_needed() const {
    std::size_t needed = 0;
    for (const CLI::Option* option : options_of(at_, true)) needed += option->get_required();
    return needed > positionals_ ? needed - positionals_ : 0;
  }

  [[nodiscard]] std::string unknown_option(const std::string& name) const {
    std::vector<std::string> known;
    for (const CLI::Option* option : options_of(at_, false)) {
      const std::string text = option->get_name();  // the long one, if it has one
      const std::string shown = text.substr(text.rfind(',') + 1);
      if (std::ranges::find(known, shown) == known.end()) known.push_back(shown);
    }
    return where() + "no option " + quoted(name) + "; " + config::suggestion(name, known, '`');
  }

  std::string command(const std::string& word) {
    std::vector<std::string> known;
    for (const CLI::App* command : commands()) {
      if (command->get_name() == word) {
        at_ = command;
        path_ += (path_.empty() ? "" : " ") + word;
        return {};
      }
      known.push_back(command->get_name());
    }
    const std::string before = path_.empty() ? "" : path_ + ' ';
    const std::string none = "no command " + quoted(before + word) + "; ";
    for (const Synonym& synonym : kSynonyms) {
      const bool is_ours = std::ranges::find(known, synonym.ours) != known.end();
      if (word != synonym.theirs || (!is_ours && synonym.ours != "--help")) continue;
      return none + "did you mean " + quoted(before + std::string(synonym.ours)) + '?';
    }
    if (const auto meant = config::nearest(word, known)) {
      return none + "did you mean " + quoted(before + *meant) + '?';
    }
    return none + config::suggestion(word, known);
  }

  std::string positional(const std::string& word) {
    std::size_t most = 0;
    for (const CLI::Option* option : options_of(at_, true)) {
      most += static_cast<std::size_t>(option->get_items_expected_max());
    }
    if (++positionals_ <= most) {
      after_flag_.clear();
      return {};
    }
    const bool is_truth = word == "true" || word == "false";
    return where() + quoted(word) + " is one word too many" +
           (is_truth && !after_flag_.empty() ? "; write " + after_flag_ + '=' + word : "");
  }

  [[nodiscard]] std::string missing() const {
    if (at_has_commands()) {
      std::vector<std::string> known;
      for (const CLI::App* command : commands()) known.push_back(command->get_name());
      return where() + "a command is missing; " + config::suggestion("", known);
    }
    std::size_t place = 0;
    for (const CLI::Option* option : options_of(at_, true)) {
      if (place++ < positionals_ || !option->get_required()) continue;
      return where() + option->get_name(true) + " is missing";
    }
    for (const CLI::Option* option : options_of(at_, false)) {
      if (option->get_required() && !given_.contains(option)) {
        return where() + option->get_name() + " is missing";
      }
    }
    return {};
  }

  const CLI::App* at_;  // the command so far
  const std::vector<std::string>& words_;
  std::size_t next_ = 0;
  std::string path_;  // of commands, "port add"
  std::size_t positionals_ = 0;
  std::map<const CLI::Option*, int> given_;
  std::string after_flag_;  // the flag that the word before was
  bool asks_for_help_ = false;
};

}  // namespace

std::vector<std::string> words_of(int argc, const char* const* argv) {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    const bool is_emptied = word.starts_with("--") && word.ends_with('=');
    if (is_emptied) word.pop_back();
    words.push_back(std::move(word));
    if (is_emptied) words.emplace_back();
  }
  return words;
}

std::string usage_fault(const CLI::App& app, const std::vector<std::string>& words) {
  return Walk(app, words).fault();
}

std::string parse_words(CLI::App& app, const std::vector<std::string>& words) {
  if (const std::string fault = usage_fault(app, words); !fault.empty()) {
    const std::string more = fault.ends_with('?') ? "" : "; see " + app.get_name() + " --help";
    throw std::invalid_argument(fault + more);
  }
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants them
    app.parse(reversed);
  } catch (const CLI::Success& asked) {
    std::ostringstream text;
    app.exit(asked, text, text);
    return text.str() + (text.str().ends_with('\n') ? "" : "\n");
  } catch (const CLI::ParseError& error) {
    throw std::invalid_argument(std::string(error.what()) + "; see " + app.get_name() + " --help");
  }
  return {};
}

}  // namespace bulkhead::control
