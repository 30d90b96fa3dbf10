// Scratch memory of the tuned rungs: one aligned block for each calling thread, kept for its next call and grown when
// one needs more, so that a call in a window neither asks the system for pages nor meets them for the first time.
#pragma once

#include <cstddef>

namespace eb {

// At least `bytes`, aligned to a cache line; what it held is lost. Null when there is not enough memory.
void* workspace(std::size_t bytes);
// Bytes that the calling thread's block holds.
std::size_t workspace_bytes();
// Gives the calling thread's block back.
void release_workspace();

}  // namespace eb
