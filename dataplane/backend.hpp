// A backend moves batches of frames to and from ports: over AF_XDP, DPDK, or memory in tests.
// The worker calls it a few times a round, never per frame.
#pragma once

#include <cstddef>
#include <span>

#include "dataplane/frame.hpp"

namespace bulkhead {

/// What a backend needs to serve one port: made and destroyed by control, owned by the backend
/// between plug() and unplug().
class Attachment {
 public:
  Attachment() = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  virtual ~Attachment() = default;
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// Fills `batch` with frames that came in, in order; the caller owns a reference of each.
  virtual std::size_t receive(std::span<Frame> batch) = 0;
  /// Takes frames for one port, the first n in order; the caller keeps the references of the rest.
  virtual std::size_t send(PortIndex port, std::span<const Frame> frames) = 0;
  /// Ends a round: hands over what send() left, takes back what was transmitted. Says whether
  /// something waits that only another call can move on.
  virtual bool settle() = 0;

  virtual void plug(PortIndex port, Attachment* attachment) = 0;
  /// Forgets the port; references that it held are released. nullptr if nothing was plugged.
  virtual Attachment* unplug(PortIndex port) = 0;
};

}  // namespace bulkhead
