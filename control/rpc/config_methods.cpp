// `reload` and `save`: the configuration as a whole.
#include "control/rpc/method.hpp"
#include "control/rpc/parameters.hpp"

namespace bulkhead::control {

Json reload(const MethodContext& context, const Json& json) {
  Parameters("reload", json).finish();
  context.reload();
  return Json::object();
}

Json save(const MethodContext& context, const Json& json) {
  Parameters("save", json).finish();
  return config::to_toml(context.bridge.config());
}

}  // namespace bulkhead::control
