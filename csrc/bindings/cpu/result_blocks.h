// Memory for results and for what lies between kernels: aligned, and that which was given up serves the next of its
// size.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
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
// allocator of a framework. Few and bounded. A framework gives its tensors up in any thread, with or without the GIL.
class ResultBlocks {
 public:
  static ResultBlocks& get() {
    static auto* blocks = new ResultBlocks;  // never destroyed: arrays may outlive everything
    return *blocks;
  }
  // A block of block_size(bytes). Null when there is not enough memory.
  void* take(std::size_t used) {
    const std::size_t bytes = block_size(used);
    void* block;
    {
      const std::lock_guard guard(lock_);
      block = kept_or_fresh(bytes);
    }
    if (block != nullptr) use_first(block, used, bytes);
    return block;
  }
  void give(void* block, std::size_t bytes) {
    if (bytes > kMostBytes) return std::free(block);
    const std::lock_guard guard(lock_);
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
    const std::lock_guard guard(lock_);
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
  std::mutex lock_;
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

// Memory for `bytes` bytes, for as long as the object lives. Raises MemoryError.
class Block {
 public:
  explicit Block(std::size_t bytes) : bytes_(block_size(bytes)), data_(ResultBlocks::get().take(bytes)) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  Block(Block&& other) noexcept : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() {
    if (data_ != nullptr) ResultBlocks::get().give(data_, bytes_);
  }
  void* data() const { return data_; }

 private:
  std::size_t bytes_;
  void* data_;
};

// Memory for a result, not initialised.
inline Block result_block(std::size_t bytes) {
  Block block(bytes);
  if (poisoning()) std::memset(block.data(), 0xff, bytes);
  return block;
}

// A numpy array that owns the block.
inline py::array array_of(Block block, const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
  void* data = block.data();
  auto* kept = new Block(std::move(block));
  PyObject* owner = PyCapsule_New(
      kept, nullptr, [](PyObject* capsule) { delete static_cast<Block*>(PyCapsule_GetPointer(capsule, nullptr)); });
  if (owner == nullptr) throw py::error_already_set();
  return py::array(dtype, shape, data, py::reinterpret_steal<py::object>(owner));
}

// An array of its own memory, not initialised. Raises MemoryError.
inline py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
  return array_of(result_block(bytes_of(shape, dtype)), shape, dtype);
}

}  // namespace eb::bindings
