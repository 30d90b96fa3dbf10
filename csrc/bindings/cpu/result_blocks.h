// Memory for results: aligned, and that of results that were given up serves the next of its size.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "bindings/cpu/arrays.h"
#include "common/pages.h"

namespace eb::bindings {

// Whether memory for results is filled with NaN (all bits set) before it is handed out: for tests.
inline bool& poisoning() {
  static bool on = false;
  return on;
}

// Blocks of results that were given up, for the next of the same size: a call in a loop meets no new pages, as with the
// allocator of a framework. Few and bounded; the GIL guards them.
class ResultBlocks {
 public:
  static ResultBlocks& get() {
    static auto* blocks = new ResultBlocks;  // never destroyed: arrays may outlive everything
    return *blocks;
  }
  // A block of block_size(bytes). Null when there is not enough memory.
  void* take(std::size_t used) {
    const std::size_t bytes = block_size(used);
    void* block = kept_or_fresh(bytes);
    if (block != nullptr) use_first(block, used, bytes);
    return block;
  }
  void give(void* block, std::size_t bytes) {
    if (bytes > kMostBytes) return std::free(block);
    while (kept_.size() >= kMostBlocks || total_ + bytes > kMostBytes) {
      std::free(kept_.front().first);
      total_ -= kept_.front().second;
      kept_.erase(kept_.begin());
    }
    use_first(block, 0, bytes);
    kept_.emplace_back(block, bytes);
    total_ += bytes;
  }
  // Gives all back; their bytes.
  std::size_t release() {
    for (const auto& [block, bytes] : kept_) std::free(block);
    kept_.clear();
    return std::exchange(total_, 0);
  }

 private:
  void* kept_or_fresh(std::size_t bytes) {
    for (std::size_t i = kept_.size(); i-- > 0;) {
      if (kept_[i].second != bytes) continue;
      void* block = kept_[i].first;
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
      total_ -= bytes;
      return block;
    }
    return allocate_block(bytes);
  }

  static constexpr std::size_t kMostBlocks = 8, kMostBytes = std::size_t{64} << 20;
  std::vector<std::pair<void*, std::size_t>> kept_;  // the longest kept first
  std::size_t total_ = 0;
};

// Raises MemoryError for more than any memory holds.
inline std::size_t bytes_of(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
  std::size_t bytes = static_cast<std::size_t>(dtype.itemsize());
  for (const py::ssize_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes)) throw std::bad_alloc();
  }
  if (bytes > kMostBlock) throw std::bad_alloc();
  return bytes;
}

// Memory that no array owns, for as long as the object lives. Raises MemoryError.
class ScratchBlock {
 public:
  explicit ScratchBlock(std::size_t bytes) : bytes_(block_size(bytes)), data_(ResultBlocks::get().take(bytes)) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ScratchBlock(ScratchBlock&& other) noexcept : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}
  ScratchBlock(const ScratchBlock&) = delete;
  ScratchBlock& operator=(const ScratchBlock&) = delete;
  ~ScratchBlock() {
    if (data_ != nullptr) ResultBlocks::get().give(data_, bytes_);
  }
  void* data() const { return data_; }

 private:
  std::size_t bytes_;
  void* data_;
};

// An array of its own memory, not initialised. Raises MemoryError.
inline py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
  const std::size_t bytes = bytes_of(shape, dtype), whole = block_size(bytes);
  void* memory = ResultBlocks::get().take(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  if (poisoning()) std::memset(memory, 0xff, bytes);
  PyObject* owner = PyCapsule_New(memory, nullptr, [](PyObject* capsule) {
    const auto size = reinterpret_cast<std::uintptr_t>(PyCapsule_GetContext(capsule));
    ResultBlocks::get().give(PyCapsule_GetPointer(capsule, nullptr), size);
  });
  if (owner == nullptr || PyCapsule_SetContext(owner, reinterpret_cast<void*>(whole)) != 0)
    throw py::error_already_set();
  return py::array(dtype, shape, memory, py::reinterpret_steal<py::object>(owner));
}

}  // namespace eb::bindings
