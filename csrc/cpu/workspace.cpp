#include "cpu/workspace.h"

#include <cstdlib>

#include "common/pages.h"

namespace eb {
namespace {

class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { release(); }

  void* at_least(std::size_t bytes) {
    if (const std::size_t whole = block_size(bytes); whole > bytes_) {
      release();
      data_ = allocate_block(whole);
      bytes_ = data_ == nullptr ? 0 : whole;
    }
    if (data_ != nullptr) use_first(data_, bytes, bytes_);
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

void* workspace(std::size_t bytes) { return block.at_least(bytes); }
std::size_t workspace_bytes() { return block.bytes(); }
void release_workspace() { block.release(); }

}  // namespace eb
