// Grids of the launches that a thread makes while it asks for them; nothing is kept otherwise.
#pragma once

#include <utility>
#include <vector>

#include "cuda/api.h"

namespace eb {

class GridLog {
 public:
  bool wanted() const { return wanted_; }
  void begin() {
    grids_.clear();
    wanted_ = true;
  }
  // Launches of one grid after another are kept as one entry.
  void add(EbGrid grid) {
    if (!grids_.empty()) {
      EbGrid& last = grids_.back();
      if (last.blocks == grid.blocks && last.threads == grid.threads && last.resident == grid.resident) {
        last.launches += grid.launches;
        return;
      }
    }
    grids_.push_back(grid);
  }
  std::vector<EbGrid> end() {
    wanted_ = false;
    return std::move(grids_);
  }

 private:
  std::vector<EbGrid> grids_;
  bool wanted_ = false;
};

inline thread_local GridLog grid_log;

}  // namespace eb
