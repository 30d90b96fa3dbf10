// The loops around kernels/patches.h for a team of threads: margins, panels, tiles, and the turn to the result.
#pragma once

#include <omp.h>

#include <algorithm>

#include "cpu/tuned/gemm.h"
#include "kernels/patches.h"

namespace eb::EB_ISA {
namespace {

// The register tile of a sum over patches: AVX-512 has 28 sums, two vectors of the panel and one of the source.
#if EB_VECTOR_BYTES == 64 && defined(__AVX512F__)
constexpr int kPatchRows = 14;
#else
constexpr int kPatchRows = GemmShape<float>::kRows;
#endif
// Tiles whose sums wait to be turned, and elements of padded images that are worked at once (one image at least): a MiB
// of single precision, half of a second-level cache.
constexpr Index kChunkTiles = 8, kBlockImages = Index{1} << 18;
// Bytes of packed weights up to which they are read chunk by chunk of the images, half of a second-level cache.
constexpr Index kWeightsInCache = Index{1} << 19;
// Steps in a panel of the weights' gradient.
constexpr Index kBlockSteps = 2048;

template <class T>
constexpr int kPatchColumns = GemmShape<T>::kColumns;

// Offsets, rows and columns of `n` places, and their memory's size.
inline Index places_elements(Index n) { return 3 * n; }
inline Places places_in(Index* memory, Index n) { return {memory, memory + n, memory + 2 * n}; }

// Images that are worked at once: all, where they are read in place.
inline Index images_at_once(const PatchSums& p) {
  return p.in_place() ? p.N : std::clamp<Index>(kBlockImages / p.image(), 1, p.N);
}

// Elements of a block of images with their margins, in whole cache lines.
inline Index padded_block(const PatchSums& p) { return ceil_div(images_at_once(p) * p.image(), 64) * 64; }

// Blocks of padded images that are in memory at once: one for each of several threads that have a block each to work.
inline Index block_copies(const PatchSums& p, Index team) { return ceil_div(p.N, images_at_once(p)) < team ? 1 : team; }

// Groups of rows, one for each phase: chunks are some of them, or of a long one some columns.
struct Chunks {
  Index groups, rows, span, segments, together;  // of an image; in each; columns; segments of a row; groups in a chunk

  explicit Chunks(const PatchSums& p)
      : groups(ceil_div(p.h.size, p.h.phases())), rows(p.h.phases()), span(0), segments(0), together(1) {
    const Index most = kChunkTiles * kPatchRows * p.w.phases();
    span = std::min(most, p.w.size);
    segments = ceil_div(p.w.size, span);
    if (segments > 1) return;
    const Index all = images_at_once(p) * groups;
    together = std::max<Index>(1, kChunkTiles * kPatchRows / ceil_div(p.w.size, p.w.phases()));
    together = ceil_div(all, ceil_div(all, together));  // chunks of one size
  }
  Index slots() const { return together * rows * span; }
  Index of(Index images) const {
    return segments > 1 ? images * groups * segments : ceil_div(images * groups, together);
  }
};

// What a sum over patches keeps: packed weights, a block of padded images, results on their way, and tables of taps.
template <class T>
struct PatchMemory {
  Index panels, images, results, per_thread, tables;

  PatchMemory(const PatchSums& p, int threads) : panels(0), images(0), results(0), per_thread(0), tables(0) {
    const auto whole = [](Index n) { return ceil_div(n, 64) * 64; };  // cache lines
    panels = whole(p.groups * ceil_div(p.outputs, kPatchColumns<T>) * kPatchColumns<T> * p.steps());
    images = p.in_place() ? 0 : block_copies(p, threads) * padded_block(p);
    per_thread = whole(Chunks(p).slots() * kPatchColumns<T>);
    results = threads * per_thread;
    tables = places_elements(p.steps());
  }
  std::size_t bytes() const {
    return sizeof(T) * static_cast<std::size_t>(panels + images + results) +
           sizeof(Index) * static_cast<std::size_t>(tables);
  }
};

// Copies plane i of the images from `source` on with its margins.
template <class T, class Ops, class Source, class Padded>
EB_INLINE void pad_image_plane(Ops& ops, const PatchSums& p, Source source, Index i, Padded padded) {
  const Index planes = p.groups * p.channels;
  pad_plane<kLanes<T>, T>(ops, source.at(i * p.h.source * p.w.source), p.h.source, p.w.source,
                          padded.at(i / planes * p.image() + i % planes * p.plane()), p.pitch(), p.h.extent, p.w.extent,
                          p.h.before, p.w.before);
}

// Copies `images` images with their margins, by a team of threads. Ends in a barrier.
template <class T, class Ops, class Source, class Padded>
EB_INLINE void pad_images(Ops& ops, const PatchSums& p, Source source, Index images, Padded padded) {
#pragma omp for schedule(static)
  for (Index i = 0; i < images * p.groups * p.channels; ++i) pad_image_plane<T>(ops, p, source, i, padded);
}

// The taps of one phase, channel by channel, as places.
EB_INLINE void list_taps(const PatchSums& p, const PatchPhase& h, const PatchPhase& w, Index* offset, Index* row,
                         Index* column) {
  const Index before_h = p.in_place() ? 0 : p.h.before, before_w = p.in_place() ? 0 : p.w.before;
  for (Index c = 0, d = 0; c < p.channels; ++c) {
    for (Index t = 0; t < h.taps; ++t) {
      for (Index u = 0; u < w.taps; ++u, ++d) {
        row[d] = h.offset + t * h.tap_step;
        column[d] = w.offset + u * w.tap_step;
        offset[d] = c * p.plane() + (row[d] + before_h) * p.pitch() + column[d] + before_w;
      }
    }
  }
}

// visit(h, w, phase_h, phase_w, first step, steps) for each phase.
template <class Visit>
EB_INLINE void each_phase(const PatchSums& p, const Visit& visit) {
  Index begin = 0;
  for (Index i = 0; i < p.h.phases(); ++i) {
    for (Index j = 0; j < p.w.phases(); ++j) {
      const PatchPhase h = p.h.phase(i), w = p.w.phase(j);
      const Index depth = p.channels * h.taps * w.taps;
      visit(h, w, i, j, begin, depth);
      begin += depth;
    }
  }
}

// A strip of a phase's weights: panel[d · kPatchColumns + r] = weight of output `output` + r and step d.
template <class T, class Ops, class W, class Panel>
EB_INLINE void pack_taps(Ops& ops, const PatchSums& p, const PatchPhase& h, const PatchPhase& w, W weights,
                         Index output, Index depth, Panel panel) {
  constexpr Index kColumns = kPatchColumns<T>;
  const Index rows = std::min(kColumns, p.outputs - output), kernel = p.h.kernel * p.w.kernel;
  const auto origin = weights.at(output * p.w_output);
  if (p.w_channel == kernel && !p.h.gradient) {
    gemm_pack_strip<T, kColumns, kLanes<T>>(ops, Matrix<W>{weights, p.w_output, 1}, panel, output, rows, 0, depth);
  } else if (kernel == 1) {
    gemm_pack_strip<T, kColumns, kLanes<T>>(ops, Matrix<W>{weights, p.w_output, p.w_channel}, panel, output, rows, 0,
                                            depth);
  } else {
    const auto zero = ops.constant(Constant<T, 0>{});
    for (Index c = 0, d = 0; c < p.channels; ++c) {
      for (Index t = 0; t < h.taps; ++t) {
        for (Index u = 0; u < w.taps; ++u, ++d) {
          const auto tap = origin.at(c * p.w_channel + (h.first + t * h.every) * p.w.kernel + w.first + u * w.every);
          for (Index r = 0; r < kColumns; ++r) {
            ops.store(panel, d * kColumns + r, r < rows ? ops.load(tap, r * p.w_output) : zero);
          }
        }
      }
    }
  }
}

// One tile with as many vectors as its columns need. A function of its own, for every sum over patches to share: no
// clone for the constants of one caller, which the compiler makes on AVX-512 now and then.
#if defined(__AVX512F__)
#define EB_SHARED __attribute__((noinline, noclone))
#else
#define EB_SHARED __attribute__((noinline))
#endif
template <class T, class Ops, class Source, class Panel, class Out, class Bias>
EB_SHARED void any_patch_tile(Ops& ops, Source source, const Places& row, const Index* slot, const Places& step,
                              Index depth, Panel panel, Out out, Index rows, Index columns, bool first, Bias bias,
                              bool has_bias, const ImageBounds& inside) {
  constexpr int L = kLanes<T>, kColumns = kPatchColumns<T>;
  if (columns > L) {
    patch_tile<L, kPatchRows, kColumns / L, kColumns, T>(ops, source, row, slot, step, depth, panel, out, rows, columns,
                                                         first, bias, has_bias, inside);
  } else {
    patch_tile<L, kPatchRows, 1, kColumns, T>(ops, source, row, slot, step, depth, panel, out, rows, columns, first,
                                              bias, has_bias, inside);
  }
}

// The same for rows that become columns.
template <class T, class Ops, class In, class Out>
__attribute__((noinline)) void any_turn(Ops& ops, In in, Index rows, Index columns, Out out, Index stride) {
  turn<kLanes<T>, T>(ops, in, kPatchColumns<T>, rows, columns, out, stride);
}

// Sums of one chunk of one strip: tile by tile into `results`, and turned from there to the result. A function of its
// own, for blocks of one thread and of the team to share.
template <class T, class Ops, class Source, class Panel, class Results, class Out, class Bias>
EB_SHARED void patch_chunk(Ops& ops, const PatchSums& p, const Chunks& chunks, Index chunk, Index images, Source source,
                           const Places& taps, Panel panel, Results results, Index columns, Out out, Bias bias,
                           bool has_bias) {
  constexpr Index kColumns = kPatchColumns<T>;
  const Index group0 = chunks.segments > 1 ? chunk / chunks.segments : chunk * chunks.together;
  const Index group1 = std::min(images * chunks.groups, group0 + (chunks.segments > 1 ? 1 : chunks.together));
  const Index column0 = chunks.segments > 1 ? chunk % chunks.segments * chunks.span : 0;
  const Index span = std::min(chunks.span, p.w.size - column0);
  const ImageBounds inside{p.h.source, p.w.source, !p.h.gradient};
  const Index pixels = p.h.size * p.w.size, image = p.groups * p.outputs * pixels;
  each_phase(p, [&](const PatchPhase& h, const PatchPhase& w, Index phase_h, Index phase_w, Index begin,
                    Index depth) EB_ALWAYS_INLINE {
    Index offset[kPatchRows] = {}, row[kPatchRows] = {}, column[kPatchRows] = {}, slot[kPatchRows] = {};
    const Index j0 = column0 / p.w.phases(), j1 = std::min(w.pixels, ceil_div(column0 + span - phase_w, p.w.phases()));
    Index group = group1, j = j0, filled = 0;
    Index h_in = 0, row_offset = 0, row_slot = 0, row_out = 0;  // of the group's row of this phase
    // The first group from `from` on that has such a row.
    const auto go_to = [&](Index from) EB_ALWAYS_INLINE {
      for (group = from; group < group1; ++group) {
        const Index n = group / chunks.groups, i = group % chunks.groups;
        if (i >= h.pixels) continue;
        h_in = i * p.h.step();
        row_offset = n * p.image() + h_in * p.pitch();
        row_slot = ((group - group0) * chunks.rows + phase_h) * span + phase_w - column0;
        row_out = n * image + (i * chunks.rows + phase_h) * p.w.size + phase_w;
        return;
      }
    };
    if (j0 < j1) go_to(group0);
    while (group < group1) {
      const Index w_out = j * p.w.phases();
      row[filled] = h_in, column[filled] = j * p.w.step();
      offset[filled] = row_offset + column[filled];
      slot[filled] = (row_slot + w_out) * kColumns;
      const auto result = out.at(row_out + w_out);
      ++filled;
      if (++j == j1) {
        j = j0;
        go_to(group + 1);
      }
      if (filled < kPatchRows && group < group1) continue;
      // The turn will write a few numbers of each of many planes: their lines come while the tile is worked.
      for (Index c = 0; c < columns; ++c) ops.prefetch(result, c * pixels);
      any_patch_tile<T>(ops, source, Places{offset, row, column}, slot, taps.from(begin), depth,
                        panel.at(begin * kColumns), results, filled, columns, true, bias, has_bias, inside);
      filled = 0;
    }
  });
  for (Index group = group0; group < group1;) {
    const Index n = group / chunks.groups, i = group % chunks.groups;
    const Index end = std::min(group1, (n + 1) * chunks.groups);  // of this image
    const Index row0 = i * chunks.rows, row1 = std::min(p.h.size, row0 + (end - group) * chunks.rows);
    const Index run = chunks.segments > 1 ? 1 : row1 - row0;  // rows that lie beside each other
    for (Index r = row0; r < row1; r += run) {
      any_turn<T>(ops, results.at(((group - group0) * chunks.rows + r - row0) * span * kColumns), run * span, columns,
                  out.at(n * image + r * p.w.size + column0), pixels);
    }
    group = end;
  }
}

// The whole sum, by a team of threads; `memory` is PatchMemory's. Ends in a barrier. A function of its own: inlined
// beside the gradients of the weights it leaves no registers for either's counters.
template <class T, class Ops, class Source, class W, class Bias, class Out>
EB_SHARED void patch_sums(Ops& ops, const PatchSums& p, int threads, Source source, W weights, Bias bias, bool has_bias,
                          Out out, T* memory) {
  using Scratch = typename Ops::template Activation<T>;
  constexpr Index kColumns = kPatchColumns<T>;
  const PatchMemory<T> sizes(p, threads);
  const Chunks chunks(p);
  const Scratch panels(memory), padded(memory + sizes.panels);
  const Scratch results(memory + sizes.panels + sizes.images + omp_get_thread_num() * sizes.per_thread);
  Index* const table = reinterpret_cast<Index*>(memory + sizes.panels + sizes.images + sizes.results);
  const Index steps = p.steps(), strips = ceil_div(p.outputs, kColumns), pixels = p.h.size * p.w.size;
  const Places taps = places_in(table, steps);
#pragma omp single nowait
  each_phase(p, [&](const PatchPhase& h, const PatchPhase& w, Index, Index, Index begin, Index) EB_ALWAYS_INLINE {
    list_taps(p, h, w, table + begin, table + steps + begin, table + 2 * steps + begin);
  });
#pragma omp for schedule(static) nowait
  for (Index strip = 0; strip < p.groups * strips; ++strip) {
    const Index group = strip / strips, output = strip % strips * kColumns;
    each_phase(p,
               [&](const PatchPhase& h, const PatchPhase& w, Index, Index, Index begin, Index depth) EB_ALWAYS_INLINE {
                 pack_taps<T>(ops, p, h, w, weights.at(group * p.w_group), output, depth,
                              panels.at((strip * steps + begin) * kColumns));
               });
  }
  const Index at_once = images_at_once(p), image = p.groups * p.channels * p.h.source * p.w.source;
  // What is larger stays in the second-level cache while the other passes by: the images' chunk or all the weights.
  const bool chunks_first = static_cast<Index>(sizeof(T)) * strips * kColumns * steps <= kWeightsInCache;
  const auto work = [&](Index n0, Index images, Source from, Index task) EB_ALWAYS_INLINE {
    const Index tasks = chunks.of(images);
    const Index group = task / (strips * tasks), of_group = task % (strips * tasks);
    const Index strip_of_group = chunks_first ? of_group % strips : of_group / tasks;
    const Index chunk = chunks_first ? of_group / strips : of_group % tasks;
    const Index strip = group * strips + strip_of_group, output = strip_of_group * kColumns;
    const Index columns = std::min(kColumns, p.outputs - output), m = group * p.outputs + output;
    const auto result = out.at((n0 * p.groups * p.outputs + m) * pixels);
    patch_chunk<T>(ops, p, chunks, chunk, images, from.at(group * p.channels * p.plane()), taps,
                   panels.at(strip * steps * kColumns), results, columns, result, bias.at(m), has_bias);
  };
#pragma omp barrier
  // Blocks that go round among the threads are each one thread's own, whose cache holds the images; the team shares the
  // others.
  const Index team = omp_get_num_threads(), thread = omp_get_thread_num();
  const Index own = block_copies(p, threads) == 1 ? 0 : p.N / (at_once * team);  // of each thread
  T* const own_block = memory + sizes.panels + thread * padded_block(p);
  for (Index n0 = thread * own * at_once, n1 = n0 + own * at_once; n0 < n1; n0 += at_once) {
    for (Index i = 0; i < at_once * p.groups * p.channels; ++i) {
      pad_image_plane<T>(ops, p, source.at(n0 * image), i, Scratch(own_block));
    }
    for (Index task = 0; task < p.groups * strips * chunks.of(at_once); ++task) {
      work(n0, at_once, Source(own_block), task);
    }
  }
  if (own > 0) {
#pragma omp barrier
  }
  for (Index n0 = team * own * at_once; n0 < p.N; n0 += at_once) {
    const Index images = std::min(at_once, p.N - n0);
    if (!p.in_place()) pad_images<T>(ops, p, source.at(n0 * image), images, padded);
    const Source from = p.in_place() ? source.at(n0 * image) : Source(memory + sizes.panels);
#pragma omp for schedule(static)
    for (Index task = 0; task < p.groups * strips * chunks.of(images); ++task) work(n0, images, from, task);
  }
}

}  // namespace
}  // namespace eb::EB_ISA
