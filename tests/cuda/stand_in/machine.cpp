// The machine behind cuda_runtime.h of this folder: one launch at a time, its blocks one after another, the threads of
// a block as fibers that change only where they wait. Orders are the launch's own when the seed is 0, else shuffled.
#include "cuda_runtime.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace eb {
// A launch's shared memory, and a margin that nothing may write to.
constexpr std::size_t kMargin = 4096;
alignas(1024) unsigned char eb_shared[cuda_on_host::kMostShared + kMargin];
}  // namespace eb

namespace cuda_on_host {
namespace {

constexpr unsigned char kPoison = 0xff;  // eight of them are a NaN
constexpr std::size_t kStack = 64 * 1024;

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStack);
  State state = State::kDone;
  const void* place = nullptr;
  unsigned shuffles = 0;
};

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

// All of it is one launch's business at a time; `lock` sees to that.
std::recursive_mutex lock;
std::vector<Fiber> fibers;
std::vector<std::uint64_t> slots;  // of a warp's lanes, twice: a shuffle's are read while the next one's are written
std::vector<Copy> pending;
ucontext_t scheduler;
unsigned running = 0;
void (*launched)(void*) = nullptr;
void* launched_argument = nullptr;
std::string failure;
std::mt19937 random_order;
unsigned seed = 0;
cudaStream_t callers_stream = nullptr;
long live_allocations = 0, launches = 0;

void fail(const std::string& what) {
  if (failure.empty()) failure = what;
}

std::string here() { return " (block " + std::to_string(blockIdx.x) + ", thread " + std::to_string(running) + ")"; }

void fiber_main() {
  launched(launched_argument);
  fibers[running].state = State::kDone;
  swapcontext(&fibers[running].context, &scheduler);
}

void wait(State state, const void* place) {
  Fiber& self = fibers[running];
  self.state = state;
  self.place = place;
  swapcontext(&self.context, &scheduler);
}

std::vector<unsigned> order_of(unsigned count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0U);
  if (seed != 0) std::shuffle(order.begin(), order.end(), random_order);
  return order;
}

// Lets [first, end) go on when all of them wait for each other at one place; whether they did.
bool release(State waiting, unsigned first, unsigned end) {
  for (unsigned t = first; t < end; ++t) {
    if (fibers[t].state != waiting || fibers[t].place != fibers[first].place) return false;
  }
  for (unsigned t = first; t < end; ++t) fibers[t].state = State::kReady;
  return true;
}

void run_block(unsigned threads) {
  for (unsigned t = 0; t < threads; ++t) {
    Fiber& fiber = fibers[t];
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    fiber.state = State::kReady;
    fiber.shuffles = 0;
    makecontext(&fiber.context, &fiber_main, 0);
  }
  for (;;) {
    for (const unsigned t : order_of(threads)) {
      if (fibers[t].state != State::kReady) continue;
      running = t;
      threadIdx = dim3(t);
      swapcontext(&scheduler, &fibers[t].context);
      if (!failure.empty()) return;
    }
    bool released = release(State::kAtBlock, 0, threads);
    for (unsigned first = 0; first < threads; first += kWarp) {
      released |= release(State::kAtWarp, first, std::min(threads, first + kWarp));
    }
    if (released) continue;
    unsigned done = 0;
    for (unsigned t = 0; t < threads; ++t) done += fibers[t].state == State::kDone;
    if (done == threads) return;
    running = 0;
    return fail("threads of a block wait at different barriers, or some have ended" + here());
  }
}

bool other_stream(cudaStream_t stream) { return stream != callers_stream; }

}  // namespace

cudaError_t run(void (*body)(void*), void* argument, dim3 grid, dim3 block, std::size_t shared_bytes,
                cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> guard(lock);
  failure.clear();
  if (other_stream(stream)) return cudaErrorInvalidResourceHandle;
  if (grid.x == 0 || grid.y != 1 || grid.z != 1) return cudaErrorInvalidConfiguration;
  if (block.x == 0 || block.x > kMostThreads || block.y != 1 || block.z != 1) return cudaErrorInvalidConfiguration;
  if (shared_bytes > kMostShared) return cudaErrorInvalidValue;
  ++launches;
  launched = body;
  launched_argument = argument;
  gridDim = grid;
  blockDim = block;
  if (fibers.size() < block.x) fibers.resize(block.x);
  slots.assign(2 * kMostThreads, 0);
  for (const unsigned b : order_of(grid.x)) {
    blockIdx = dim3(b);
    std::memset(eb::eb_shared, kPoison, shared_bytes + eb::kMargin);
    run_block(block.x);
    for (std::size_t i = 0; i < eb::kMargin; ++i) {
      if (eb::eb_shared[shared_bytes + i] != kPoison) {
        fail("a write beyond the shared memory of the launch (block " + std::to_string(b) + ")");
        break;
      }
    }
    if (!failure.empty()) return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

void wait_for_block(const void* place) { wait(State::kAtBlock, place); }

std::uint64_t from_lane_below(const void* place, unsigned mask, std::uint64_t value, unsigned offset) {
  Fiber& self = fibers[running];
  const unsigned lane = running % kWarp, warp = running - lane, side = self.shuffles++ % 2 * kMostThreads;
  if (mask != 0xffffffffu || warp + kWarp > blockDim.x) {
    fail("a shuffle without the whole warp" + here());
    wait(State::kDone, place);
  }
  slots[side + running] = value;
  const unsigned me = running;
  wait(State::kAtWarp, place);
  return lane + offset < kWarp ? slots[side + me + offset] : value;
}

}  // namespace cuda_on_host

using namespace cuda_on_host;

cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t stream) {
  if (other_stream(stream)) return cudaErrorInvalidResourceHandle;
  *address = std::malloc(bytes);
  if (*address == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*address, kPoison, bytes);
  ++live_allocations;
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  if (other_stream(stream)) return cudaErrorInvalidResourceHandle;
  std::free(address);
  --live_allocations;
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* address, int byte, std::size_t bytes, cudaStream_t stream) {
  if (other_stream(stream)) return cudaErrorInvalidResourceHandle;
  std::memset(address, byte, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  if (other_stream(stream)) return cudaErrorInvalidResourceHandle;
  pending.push_back({to, from, bytes});
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (other_stream(stream)) return cudaErrorInvalidResourceHandle;
  for (const Copy& copy : pending) std::memcpy(copy.to, copy.from, copy.bytes);
  pending.clear();
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  std::snprintf(properties->name, sizeof properties->name, "host stand-in, not a GPU");
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorLaunchFailure:
      return failure.c_str();
    case cudaErrorInvalidResourceHandle:
      return "a stream that is not the caller's";
    case cudaErrorInvalidConfiguration:
      return "invalid grid or block";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    default:
      return "refused by the host stand-in";
  }
}

// For the tests, by ctypes. A seed of 0 keeps blocks and threads in order.
extern "C" {

__attribute__((visibility("default"))) void stand_in_begin(unsigned order_seed, void* stream) {
  seed = order_seed;
  random_order.seed(order_seed);
  callers_stream = static_cast<cudaStream_t>(stream);
  pending.clear();
  launches = 0;
}
__attribute__((visibility("default"))) long stand_in_live_allocations() { return live_allocations; }
__attribute__((visibility("default"))) long stand_in_launches() { return launches; }

}  // extern "C"
