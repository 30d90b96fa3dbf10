// Calls that were made before.
//
// The first call of a kernel, or of kernels in sequence, is checked in Python (energybench/kernels/call.py), which
// leaves here what it found: what the arrays and options were like, and the native calls, which are frozen, with the
// place of each array in them. A later call of the same kind needs none of those checks again: whether it is one is all
// that is looked at, anew for every call. Whatever is not exactly alike (another type, shape, option, an array that is
// not dense or not aligned, a gradient) is left to Python.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/cpu/arrays.h"
#include "bindings/cpu/likeness.h"
#include "bindings/cpu/result_blocks.h"

namespace eb::bindings {

// An array of the same shape and element type at the same address, that keeps nothing alive: it takes the place of
// another in the arguments of a native call that is frozen.
inline py::array seat(const py::array& array) {
  const std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
  return py::array(array.dtype(), shape, array.data(), py::none());
}

// More arrays than any call has, its results and what lies between its parts included.
constexpr std::size_t kMostPlaces = 64;
using Addresses = std::array<void*, kMostPlaces>;

// A call of a kernel's entry as the interpreter hands it over: arrays, then the values of options by name.
struct GivenCall {
  PyObject* const* arrays;
  std::size_t count, options;
  PyObject* names;    // of the options; null without any
  PyObject* threads;  // stands for threads=None: the number of the moment

  // An option's value, looked for at its usual place first. Names of options are interned: one object each.
  PyObject* option(PyObject* name, std::size_t usual) const {
    if (usual >= options || PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(usual)) != name) {
      for (usual = 0; usual < options && PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(usual)) != name; ++usual) {
      }
      if (usual == options) return nullptr;
    }
    PyObject* value = arrays[count + usual];
    return value == Py_None && name == threads_name() ? threads : value;
  }
  static PyObject* threads_name() {
    static PyObject* name = PyUnicode_InternFromString("threads");
    return name;
  }
};

// What a call is given to write to: a result, or memory that is needed from one native call to another, which may be
// where other such memory was before.
struct CallMemory {
  std::vector<py::ssize_t> shape;
  py::dtype dtype;
  std::size_t bytes, first, last;  // native calls that have it
  int result, scratch;             // which of the results, or of the scratch blocks; -1: none
  DlType type;                     // of a result, for an exchange
  std::shared_ptr<DenseLayout> layout;
};

// One call that was made: what it looked like, and how to make it again. Places are those of the arrays given, then
// those of the memory.
struct Repeat {
  std::vector<Likeness> arrays;
  py::tuple names;                 // of its options, the number of threads among them
  std::vector<py::object> values;  //
  std::vector<FrozenCall> calls;
  std::vector<CallMemory> memory;
  std::vector<std::size_t> scratch;  // bytes of each block
  std::vector<int> returned;         // which of `memory`; -1: None
  const DlExchange* exchange;        // what makes a result the caller's kind of tensor; null:
  py::object from_numpy;             // this does; None: the caller's are numpy arrays

  // Whether a call is such a one; then `addresses` are its arrays'.
  bool fits(const GivenCall& given, Addresses& addresses) const {
    if (given.count != arrays.size() || given.options != values.size()) return false;
    for (std::size_t i = 0; i < given.count; ++i) {
      const PyTypeObject* kind = given.arrays[i] == Py_None ? nullptr : Py_TYPE(given.arrays[i]);
      if (kind != arrays[i].kind) return false;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      PyObject* value = given.option(PyTuple_GET_ITEM(names.ptr(), static_cast<Py_ssize_t>(i)), i);
      if (value == nullptr || !same_option(value, values[i].ptr())) return false;
    }
    for (std::size_t i = 0; i < given.count; ++i) {
      const Likeness& like = arrays[i];
      if (like.kind == nullptr) continue;
      addresses[i] = like.is_numpy ? address_if_numpy(given.arrays[i], like) : address_if_torch(given.arrays[i], like);
      if (addresses[i] == nullptr) return false;
    }
    return true;
  }

  // Every native call, the GIL given away once. `addresses` has the arrays' and gets the memory's.
  py::tuple make(Addresses& addresses) const {
    std::vector<Block> blocks, results;
    blocks.reserve(scratch.size());
    results.reserve(returned.size());
    for (const std::size_t bytes : scratch) blocks.emplace_back(bytes);
    for (std::size_t m = 0; m < memory.size(); ++m) {
      const CallMemory& of = memory[m];
      void*& address = addresses[arrays.size() + m];
      if (of.result >= 0) {
        results.push_back(result_block(of.bytes));
        address = results.back().data();
      } else {
        address = of.scratch < 0 ? nullptr : blocks[static_cast<std::size_t>(of.scratch)].data();
      }
    }
    EbError error{};
    int status = 0;
    {
      py::gil_scoped_release release;
      for (std::size_t call = 0; call < calls.size() && status == 0; ++call) {
        if (poisoning()) poison_what_begins(call, addresses);
        status = calls[call].run(addresses.data(), &error);
      }
    }
    if (status != 0) throw std::runtime_error(error.message);
    py::tuple answer(returned.size());
    for (std::size_t i = 0; i < returned.size(); ++i) {
      if (returned[i] < 0) {
        answer[i] = py::none();
        continue;
      }
      const CallMemory& of = memory[static_cast<std::size_t>(returned[i])];
      answer[i] = result_of(of, std::move(results[static_cast<std::size_t>(of.result)]));
    }
    return answer;
  }

 private:
  py::object result_of(const CallMemory& of, Block block) const {
    if (exchange != nullptr) return tensor_of(*exchange, std::move(block), of.type, of.layout);
    const py::array array = array_of(std::move(block), of.shape, of.dtype);
    return from_numpy.is_none() ? py::object(array) : from_numpy(array);
  }

  void poison_what_begins(std::size_t call, const Addresses& addresses) const {
    for (std::size_t m = 0; m < memory.size(); ++m) {
      if (memory[m].scratch >= 0 && memory[m].first == call) {
        std::memset(addresses[arrays.size() + m], 0xff, memory[m].bytes);
      }
    }
  }
};

// Gives memory that no result is blocks of scratch, one to several whose calls do not overlap; their bytes.
inline std::vector<std::size_t> share_scratch(std::vector<CallMemory>& memory) {
  std::vector<std::size_t> bytes, last;
  std::vector<CallMemory*> by_first;
  for (CallMemory& of : memory) {
    if (of.result < 0 && of.last >= of.first) by_first.push_back(&of);
  }
  std::stable_sort(by_first.begin(), by_first.end(),
                   [](const CallMemory* a, const CallMemory* b) { return a->first < b->first; });
  for (CallMemory* of : by_first) {
    std::size_t block = 0;
    while (block < bytes.size() && last[block] >= of->first) ++block;
    if (block == bytes.size()) bytes.push_back(0), last.push_back(0);
    bytes[block] = std::max(bytes[block], of->bytes);
    last[block] = of->last;
    of->scratch = static_cast<int>(block);
  }
  return bytes;
}

// The last kinds of call of one kernel, the latest first.
class RepeatTable {
 public:
  using Seats = std::vector<std::pair<py::array, std::size_t>>;
  using NativeCalls = std::vector<std::tuple<py::object, py::tuple, Seats>>;

  explicit RepeatTable(std::size_t most) : most_(most) {}

  // `arrays`: None or (type, is_numpy, dtype, shape, numpy's dtype, layout, whether gradients are on).
  // `calls`: (function, arguments, (seat in the arguments, its place) of every array). `memory`: (shape, dtype).
  void add(const py::list& arrays, const py::dict& options, const NativeCalls& calls,
           const std::vector<std::pair<std::vector<py::ssize_t>, py::dtype>>& memory, const std::vector<int>& returned,
           const py::object& from_numpy, const py::object& exchange) {
    Repeat repeat{{}, py::tuple(options.size()), {}, {}, {}, {}, returned, exchange_in(exchange), from_numpy};
    require(arrays.size() + memory.size() <= kMostPlaces, "too many arrays");
    for (const auto& [name, value] : options) {
      PyObject* interned = py::reinterpret_borrow<py::object>(name).release().ptr();
      PyUnicode_InternInPlace(&interned);
      repeat.names[repeat.values.size()] = py::reinterpret_steal<py::object>(interned);
      repeat.values.push_back(py::reinterpret_borrow<py::object>(value));
    }
    for (const auto& entry : arrays) {
      if (entry.is_none()) {
        repeat.arrays.push_back({nullptr, false, py::none(), {}, 1, py::none(), py::none(), nullptr, {}, {}});
        continue;
      }
      const auto like = py::cast<py::tuple>(entry);
      const auto shape = py::cast<std::vector<Index>>(like[3]);
      const auto dtype = py::cast<py::dtype>(like[4]);
      repeat.arrays.push_back({reinterpret_cast<PyTypeObject*>(like[0].ptr()), py::cast<bool>(like[1]), like[2], shape,
                               static_cast<std::uintptr_t>(dtype.itemsize()), like[5], like[6], repeat.exchange,
                               dl_type(dtype), dense_layout(shape)});
    }
    for (const auto& [shape, dtype] : memory) {
      repeat.memory.push_back({shape, dtype, bytes_of(shape, dtype), calls.size(), 0, -1, -1, dl_type(dtype),
                               std::make_shared<DenseLayout>(dense_layout(shape))});
    }
    for (std::size_t i = 0; i < calls.size(); ++i) {
      FrozenCall frozen = freeze(calls[i]);
      for (const std::size_t place : frozen.link(arrays.size() + memory.size())) {
        if (place < arrays.size()) continue;
        CallMemory& of = repeat.memory[place - arrays.size()];
        of.first = std::min(of.first, i), of.last = i;
      }
      repeat.calls.push_back(std::move(frozen));
    }
    int results = 0;
    for (const int which : returned) {
      require(which < static_cast<int>(memory.size()), "what is returned has no memory");
      if (which >= 0) repeat.memory[static_cast<std::size_t>(which)].result = 0;
    }
    for (CallMemory& of : repeat.memory) {
      if (of.result >= 0) of.result = results++;
    }
    repeat.scratch = share_scratch(repeat.memory);
    if (repeats_.size() >= most_) repeats_.pop_back();
    repeats_.insert(repeats_.begin(), std::make_shared<const Repeat>(std::move(repeat)));
  }

  // The results of a call such as was made before; null when it is another.
  py::object run(const GivenCall& given) {
    Addresses addresses;
    for (std::size_t i = 0; i < repeats_.size(); ++i) {
      // Kept: torch gives the GIL away when it is asked, and so does the kernel.
      const std::shared_ptr<const Repeat> repeat = repeats_[i];
      if (!repeat->fits(given, addresses)) continue;
      if (i > 0 && i < repeats_.size()) std::swap(repeats_[i], repeats_[i - 1]);
      return repeat->make(addresses);
    }
    return {};
  }

  std::size_t size() const { return repeats_.size(); }
  void clear() { repeats_.clear(); }

 private:
  static FrozenCall freeze(const std::tuple<py::object, py::tuple, Seats>& call) {
    const auto& [function, arguments, seats] = call;
    for (const auto& [seat, place] : seats) {
      py::detail::array_proxy(seat.ptr())->data = static_cast<char*>(FrozenCall::stand_in(place));
    }
    FrozenCall frozen;
    struct Guard {
      explicit Guard(FrozenCall* into) { freezing() = into; }
      ~Guard() { freezing() = nullptr; }
    };
    const Guard guard(&frozen);
    const auto done = py::reinterpret_steal<py::object>(PyObject_CallObject(function.ptr(), arguments.ptr()));
    if (!done) throw py::error_already_set();
    require(!frozen.empty(), "not a native call");
    return frozen;
  }

  std::size_t most_;
  std::vector<std::shared_ptr<const Repeat>> repeats_;
};

// A kernel as a function of Python's: calls that were made before are made again, all others are passed on as they are.
// A call that fails is passed on too, for the long way has the words for it.
struct Entry {
  std::shared_ptr<RepeatTable> table;
  py::object otherwise;        // None: another call gives None
  py::object default_threads;  // asked where threads=None

  static py::object make(const std::shared_ptr<RepeatTable>& table, const py::object& otherwise,
                         const py::object& default_threads) {
    static PyMethodDef method{"run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Entry::call)),
                              METH_FASTCALL | METH_KEYWORDS, "The kernel: arrays, options → a tuple of its results."};
    const py::capsule self(new Entry{table, otherwise, default_threads},
                           [](void* entry) { delete static_cast<Entry*>(entry); });
    return py::reinterpret_steal<py::object>(PyCFunction_NewEx(&method, self.ptr(), nullptr));
  }

  static PyObject* call(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
    const auto& entry = *static_cast<const Entry*>(PyCapsule_GetPointer(self, nullptr));
    try {
      py::object threads;
      const std::size_t options = names == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(names));
      const GivenCall given{arguments, static_cast<std::size_t>(count), options, names, nullptr};
      if (given.option(GivenCall::threads_name(), options - 1) == nullptr) threads = entry.default_threads();
      py::object results = entry.table->run({arguments, given.count, options, names, threads.ptr()});
      if (results) return results.release().ptr();
    } catch (py::error_already_set& error) {
      if (entry.otherwise.is_none()) return error.restore(), nullptr;
    } catch (const std::exception& error) {
      if (entry.otherwise.is_none()) return PyErr_SetString(PyExc_RuntimeError, error.what()), nullptr;
    }
    if (entry.otherwise.is_none()) Py_RETURN_NONE;
    return PyObject_Vectorcall(entry.otherwise.ptr(), arguments, static_cast<std::size_t>(count), names);
  }
};

inline void define_repeat(py::module_& module) {
  module.def(
      "release_results", [] { return ResultBlocks::get().release(); },
      "Give back the memory of results that were given up; its bytes.");
  module.def("empty", &eb::bindings::empty, "shape"_a, "dtype"_a, "Memory for a result, aligned to a cache line.");
  module.def("poison_results", [](bool on) { poisoning() = on; }, "on"_a, "Whether results begin as NaN: for tests.");
  module.def("seat", &seat, "array"_a, "An array at the same address that keeps nothing alive.");
  py::class_<RepeatTable, std::shared_ptr<RepeatTable>>(module, "RepeatTable",
                                                        "Calls of one kernel that were made before.")
      .def(py::init<std::size_t>(), "most"_a)
      .def("add", &RepeatTable::add, "arrays"_a, "options"_a, "calls"_a, "memory"_a, "returned"_a, "from_numpy"_a,
           "exchange"_a)
      .def("entry", &Entry::make, "otherwise"_a, "default_threads"_a)
      .def("clear", &RepeatTable::clear)
      .def("__len__", &RepeatTable::size);
}

}  // namespace eb::bindings
