// Which part of the flow table is which port's (dataplane/flow_table.hpp): equal parts, as large as
// they can be, so that a port's part does not depend on what others do with theirs.
//
// A port keeps its region while the size stays the same. When the number of ports has changed so
// much that it does not, all get new ones. No two workers may write to one place, not for a moment:
// so what a port gives up here is another's at the next call at the earliest, and where all change,
// plan() says that the workers have to forget the old ones first. Control thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/snapshot.hpp"

namespace bulkhead::control {

class FlowRegions {
 public:
  /// `places`: of the table.
  explicit FlowRegions(std::size_t places);

  /// Gives each port of the policy that takes part its region. Says whether regions overlap with
  /// those of the call before, under other ports.
  bool plan(Snapshot& policy);

 private:
  std::uint32_t sets_;             // of the table
  std::uint32_t region_sets_ = 0;  // of a region
  std::vector<PortIndex> owner_;   // by region; kNoPort: free
};

}  // namespace bulkhead::control
