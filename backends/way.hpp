// The way of a port: how its frames move between a device and the workers. One interface, with an
// implementation in the room of each backend (conduit/conduit_way, nic/nic_way); control knows no
// other.
//
// A port has one from when it is added until it is deleted. It goes through these, and back:
//
//   take()    the device, which is guarded, is prepared
//   open()    sockets, and the workers serve them; the device must be up
//   admit()   frames come in
//   close()   none do any more, and the workers serve nothing of it; sending must have ended before
//   leave()   the device is somebody else's, or gone; what was counted stays
//
// Each of close() and leave() does nothing where there is nothing to end. Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "backends/intake.hpp"
#include "dataplane/mailbox.hpp"

namespace bulkhead {

struct Link;

/// Has a command carried out by a worker, and waits for it.
using WorkerCall = std::function<void(std::uint8_t worker, Command& command)>;

class Way {
 public:
  /// Whose it is.
  struct Place {
    PortIndex port = kNoPort;
    std::uint8_t worker = 0;    // the port's own
    bool on_one_worker = true;  // also where several could share its frames
  };
  struct Queues {
    std::uint32_t count = 0;
    bool zero_copy = false;
  };

  Way() = default;
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;
  virtual ~Way() = default;

  /// Says what an administrator should know of the device, or nothing. Throws BackendError with the
  /// way out; then it is as if leave() had been called.
  virtual std::string take(const Link& link) = 0;
  /// Whether take() asks more of a device than that it is guarded.
  [[nodiscard]] virtual bool may_refuse() const { return false; }
  /// Whether take() would do. Throws what that would throw, and leaves nothing behind.
  virtual void try_out(const Link&) {}
  /// Throws BackendError, and is closed then.
  virtual void open() = 0;
  virtual void admit() = 0;
  /// Says what went wrong, or nothing.
  virtual std::string close() = 0;
  /// In place of close() and leave(), when the daemon ends: what the kernel forwards by itself goes
  /// on.
  virtual void linger() {}
  virtual void leave() = 0;

  /// `received`: what the workers have counted for the port.
  [[nodiscard]] virtual Intake intake(std::uint64_t received) const = 0;
  /// Frames that its own worker has got from it, as far as they count for who is busy.
  [[nodiscard]] virtual std::uint64_t load() const { return 0; }
  /// Whether the kernel may repeat verdicts about its frames (backends/shortcut).
  [[nodiscard]] virtual bool has_shortcut() const { return false; }
  /// Whether every worker has a part of it.
  [[nodiscard]] virtual bool is_spread() const { return false; }
  /// Of a device with queues of its own, while it is open.
  [[nodiscard]] virtual std::optional<Queues> queues() const { return std::nullopt; }
  /// What about the device is not as it was when it was opened, so that it has to be taken anew;
  /// or nothing. Throws BackendError if it cannot be asked.
  [[nodiscard]] virtual std::string outdated() const { return {}; }
};

/// Makes the ways over one backend, and has what they share.
class Ways {
 public:
  Ways() = default;
  Ways(const Ways&) = delete;
  Ways& operator=(const Ways&) = delete;
  virtual ~Ways() = default;

  [[nodiscard]] virtual std::unique_ptr<Way> make(const Way::Place& place) = 0;
  /// What close() has left because it takes the kernel long: does a little of it, and says whether
  /// more is left.
  virtual bool tidy() { return false; }
  /// All that is left on one device.
  virtual void tidy(int) {}
};

}  // namespace bulkhead
