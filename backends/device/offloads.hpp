// Offloads of a NIC that hide bytes from native XDP: a VLAN tag that the hardware takes out of the
// frame, or frames that it joins. They are off while a port is attached by XDP.
//
// Invariant: what was on before is noted in the BPF file system before it is switched off, and the
// note goes only when it has been put back. So it outlives a daemon that is killed, and the next
// one, or its release of the device, puts it back. A note counts only for a device that is guarded:
// the number of one that has vanished may come round again. Control thread only.
#pragma once

#include <string>

#include "backends/device/pins.hpp"

namespace bulkhead {

/// Switches off what hides bytes, and the filter by VLAN. To be called before XDP is attached, as
/// some drivers refuse it else. Throws BackendError if something that hides bytes stays on, or if
/// what was on cannot be noted.
void switch_offloads_off(const Pins& pins, const std::string& device, int ifindex);
/// Again after XDP was attached: some drivers (veth) switch GRO on with it. Throws likewise.
void keep_offloads_off(const std::string& device);
/// Switches on again what the note says, if there is one. A device that has vanished is no error.
/// Throws BackendError if the device does not take it; the note is gone all the same.
void put_offloads_back(const Pins& pins, int ifindex);
/// Drops a note that is about another device of that number.
void forget_offloads(const Pins& pins, int ifindex);

}  // namespace bulkhead
