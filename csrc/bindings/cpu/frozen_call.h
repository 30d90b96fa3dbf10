// A native call after its checks: the call of the C interface with its shape and options, and where in it the addresses
// of its arrays stand, so that it can be made again with others at the cost of writing them.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "cpu/api.h"

namespace eb::bindings {

class FrozenCall {
 public:
  FrozenCall() = default;

  // `kernel(rung, counts, error)` holds everything by value, and nothing but numbers and addresses.
  template <class Kernel>
  FrozenCall(EbVariant rung, const Kernel& kernel) {
    struct Bound {
      Kernel kernel;
      EbVariant rung;
    };
    static_assert(std::is_trivially_copyable_v<Kernel> && alignof(Bound) <= alignof(Word));
    static_assert(sizeof(Bound) <= kMostWords * sizeof(Word));
    const Bound bound{kernel, rung};
    words_.resize((sizeof bound + sizeof(Word) - 1) / sizeof(Word));
    std::memcpy(words_.data(), &bound, sizeof bound);
    invoke_ = [](const void* words, EbError* error) {
      const auto& made = *static_cast<const Bound*>(words);
      return made.kernel(made.rung, nullptr, error);
    };
  }

  bool empty() const { return invoke_ == nullptr; }

  // What stands for the address of the array at `place` in the call that is frozen: no address of this processor's.
  static void* stand_in(std::size_t place) { return reinterpret_cast<void*>(kTag | (Word{place} << kPlaceShift)); }

  // Finds the stand-ins; the places found. Raises for an address that was made from one, which could not be written.
  std::vector<std::size_t> link(std::size_t places) {
    std::vector<std::size_t> found;
    for (std::size_t at = 0; at < words_.size(); ++at) {
      if ((words_[at] & kTagMask) != kTag) continue;
      const Word place = (words_[at] & ~kTagMask) >> kPlaceShift;
      if (place >= places || words_[at] != reinterpret_cast<Word>(stand_in(place))) {
        throw std::invalid_argument("a call with an address inside an array cannot be frozen");
      }
      links_.push_back({at, place});
      found.push_back(place);
    }
    return found;
  }

  // Makes the call, the array at place p at addresses[p].
  int run(void* const* addresses, EbError* error) const {
    Word words[kMostWords];
    std::memcpy(words, words_.data(), words_.size() * sizeof(Word));
    for (const Link& link : links_) words[link.word] = reinterpret_cast<Word>(addresses[link.place]);
    return invoke_(words, error);
  }

 private:
  using Word = std::uintptr_t;
  struct Link {
    std::size_t word, place;
  };
  static constexpr std::size_t kMostWords = 64;
  // Far above what a process may address. More than half of a word: beside a small number, what is left of another
  // stand-in may fill the word up.
  static constexpr Word kTag = 0x5eed5eed5eed0000, kTagMask = 0xffffffffffff0000;
  static constexpr int kPlaceShift = 8;

  std::vector<Word> words_;
  std::vector<Link> links_;
  int (*invoke_)(const void*, EbError*) = nullptr;
};

// Where the next native call is frozen instead of made; null: it is made. The GIL guards it.
inline FrozenCall*& freezing() {
  static FrozenCall* into = nullptr;
  return into;
}

}  // namespace eb::bindings
