#include "cpu/workspace.h"

#include <cstdlib>

namespace eb {
namespace {

constexpr std::size_t kAlignment = 64;

class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { release(); }

  void* at_least(std::size_t bytes) {
    if (bytes <= bytes_) return data_;
    release();
    const std::size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    data_ = std::aligned_alloc(kAlignment, whole);
    bytes_ = data_ == nullptr ? 0 : whole;
    return data_;
  }
  std::size_t bytes() const { return bytes_; }
  void release() {
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

thread_local Block block;

}  // namespace

void* workspace(std::size_t bytes) { return block.at_least(bytes == 0 ? kAlignment : bytes); }
std::size_t workspace_bytes() { return block.bytes(); }
void release_workspace() { block.release(); }

}  // namespace eb
