// Memory for arrays, in large pages where it fills some and the system has them (Linux, on request): a kernel that goes
// from plane to plane, or down a column, meets another page at every step, and with pages of 4 KiB its processor keeps
// on asking where they are.
#pragma once

#include <cstddef>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace eb {

constexpr std::size_t kCacheLine = 64, kLargePage = std::size_t{2} << 20;
// From so many bytes on memory comes in large pages: the last is half full at least.
constexpr std::size_t kLeastLarge = kLargePage / 2;
// No block is larger: sizes above it could not be rounded up.
constexpr std::size_t kMostBlock = static_cast<std::size_t>(-1) / 2;

// What a block for so many bytes takes: whole cache lines, and one at least, or whole large pages.
inline std::size_t block_size(std::size_t bytes) {
  const std::size_t step = bytes < kLeastLarge ? kCacheLine : kLargePage;
  return bytes == 0 ? step : (bytes + step - 1) / step * step;
}

// A block of block_size(…) bytes, not initialised, for std::free. Null when there is not enough memory.
inline void* allocate_block(std::size_t size) {
  const bool large = size >= kLeastLarge;
  void* block = std::aligned_alloc(large ? kLargePage : kCacheLine, size);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (large && block != nullptr) madvise(block, size, MADV_HUGEPAGE);  // may be refused: then pages are small
#endif
  return block;
}

// Of a block of `size` bytes the first `bytes` are in use. AddressSanitizer then finds what touches the others; blocks
// are kept and rounded up, so that it would not know by itself.
inline void use_first([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes,
                      [[maybe_unused]] std::size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(block) + bytes, size - bytes);
#endif
}

}  // namespace eb
