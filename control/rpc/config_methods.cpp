// `reload` and `save`: the configuration as a whole.
#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {
namespace {

Json names_json(const config::Changes::Names& names) {
  return {{"added", names.added}, {"removed", names.removed}, {"changed", names.changed}};
}

}  // namespace

Json reload(const MethodContext& context, const Json& json) {
  Parameters("reload", json).finish();
  const config::Changes changes = context.reload();
  return {{"ports", names_json(changes.ports)},
          {"segments", names_json(changes.segments)},
          {"fdb", names_json(changes.statics)},
          {"text", config::to_text(changes)}};
}

Json save(const MethodContext& context, const Json& json) {
  Parameters("save", json).finish();
  return config::to_toml(context.bridge.config());
}

}  // namespace bulkhead::control
