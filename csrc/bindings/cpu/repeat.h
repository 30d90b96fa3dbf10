// Memory for results, and calls that were made before.
//
// The first call of a kernel is checked in Python (energybench/kernels/call.py), which leaves here what it found: what
// the arrays and options were like, and the native call with a seat for each array. A later call of the same kind needs
// none of those checks again: whether it is one is all that is looked at, anew for every call. Whatever is not exactly
// alike (another type, shape, option, an array that is not dense or not aligned, a gradient) is left to Python.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

// A cache line: no vector of a result straddles two.
constexpr std::size_t kResultAlignment = 64;

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
  // Null when there is not enough memory.
  void* take(std::size_t bytes) {
    for (std::size_t i = kept_.size(); i-- > 0;) {
      if (kept_[i].second != bytes) continue;
      void* block = kept_[i].first;
      kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
      total_ -= bytes;
      return block;
    }
    return std::aligned_alloc(kResultAlignment, bytes);
  }
  void give(void* block, std::size_t bytes) {
    if (bytes > kMostBytes) return std::free(block);
    while (kept_.size() >= kMostBlocks || total_ + bytes > kMostBytes) {
      std::free(kept_.front().first);
      total_ -= kept_.front().second;
      kept_.erase(kept_.begin());
    }
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
  static constexpr std::size_t kMostBlocks = 8, kMostBytes = std::size_t{64} << 20;
  std::vector<std::pair<void*, std::size_t>> kept_;  // the longest kept first
  std::size_t total_ = 0;
};

// An array of its own memory, not initialised. Raises MemoryError.
inline py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
  std::size_t bytes = static_cast<std::size_t>(dtype.itemsize());
  for (const py::ssize_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes)) throw std::bad_alloc();
  }
  // a whole number of lines, and one at least
  if (bytes > SIZE_MAX - kResultAlignment) throw std::bad_alloc();
  const std::size_t whole = bytes == 0 ? kResultAlignment : (bytes + kResultAlignment - 1) & ~(kResultAlignment - 1);
  void* memory = ResultBlocks::get().take(whole);
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

// What an argument was like: None, a numpy array or a torch tensor.
struct Likeness {
  PyTypeObject* kind;             // exactly; null for None
  bool is_numpy;                  //
  py::object dtype;               // numpy's or torch's own object of the element type
  std::vector<Index> shape;       //
  std::uintptr_t alignment;       // bytes of an element
  py::object layout, grad_is_on;  // torch.strided and torch.is_grad_enabled
};

// Names of torch's attributes, looked up at every call.
struct TorchNames {
  PyObject* dtype = PyUnicode_InternFromString("dtype");
  PyObject* shape = PyUnicode_InternFromString("shape");
  PyObject* layout = PyUnicode_InternFromString("layout");
  PyObject* is_cpu = PyUnicode_InternFromString("is_cpu");
  PyObject* requires_grad = PyUnicode_InternFromString("requires_grad");
  PyObject* is_neg = PyUnicode_InternFromString("is_neg");
  PyObject* is_contiguous = PyUnicode_InternFromString("is_contiguous");
  PyObject* data_ptr = PyUnicode_InternFromString("data_ptr");
  static const TorchNames& get() {
    static const TorchNames names;  // kept to the end, as the interpreter keeps its own
    return names;
  }
};

// A question to an object; whether its answer is the object expected. An exception is another answer.
inline bool answers(PyObject* object, PyObject* name, PyObject* expected) {
  PyObject* found = PyObject_GetAttr(object, name);
  if (found == nullptr) return PyErr_Clear(), false;
  Py_DECREF(found);
  return found == expected;
}
inline bool replies(PyObject* object, PyObject* method, PyObject* expected) {
  PyObject* found = PyObject_CallMethodNoArgs(object, method);
  if (found == nullptr) return PyErr_Clear(), false;
  Py_DECREF(found);
  return found == expected;
}

inline bool has_shape(PyObject* shape, const std::vector<Index>& expected) {
  if (!PyTuple_Check(shape) || PyTuple_GET_SIZE(shape) != static_cast<Py_ssize_t>(expected.size())) return false;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    PyObject* size = PyTuple_GET_ITEM(shape, static_cast<Py_ssize_t>(i));
    if (!PyLong_CheckExact(size) || PyLong_AsLongLong(size) != expected[i]) return PyErr_Clear(), false;
  }
  return true;
}

// The address of an array that is like another: dense, aligned, of the same type and shape. Null when it is not.
inline void* address_if_numpy(PyObject* object, const Likeness& like) {
  const auto array = py::reinterpret_borrow<py::array>(object);
  constexpr int dense = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((array.flags() & dense) != dense || py::detail::array_proxy(object)->descr != like.dtype.ptr() ||
      array.ndim() != static_cast<py::ssize_t>(like.shape.size())) {
    return nullptr;
  }
  for (std::size_t i = 0; i < like.shape.size(); ++i) {
    if (array.shape(static_cast<py::ssize_t>(i)) != like.shape[i]) return nullptr;
  }
  return const_cast<void*>(array.data());
}

inline void* address_if_torch(PyObject* tensor, const Likeness& like) {
  const TorchNames& names = TorchNames::get();
  if (!answers(tensor, names.dtype, like.dtype.ptr()) || !answers(tensor, names.layout, like.layout.ptr()) ||
      !answers(tensor, names.is_cpu, Py_True) || !replies(tensor, names.is_neg, Py_False) ||
      !replies(tensor, names.is_contiguous, Py_True)) {
    return nullptr;
  }
  if (!answers(tensor, names.requires_grad, Py_False)) {
    PyObject* on = PyObject_CallNoArgs(like.grad_is_on.ptr());
    if (on == nullptr) return PyErr_Clear(), nullptr;
    Py_DECREF(on);
    if (on != Py_False) return nullptr;
  }
  const auto shape = py::reinterpret_steal<py::object>(PyObject_GetAttr(tensor, names.shape));
  if (!shape || !has_shape(shape.ptr(), like.shape)) return PyErr_Clear(), nullptr;
  const auto pointer = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor, names.data_ptr));
  if (!pointer) return PyErr_Clear(), nullptr;
  void* address = PyLong_AsVoidPtr(pointer.ptr());
  if (address == nullptr) return PyErr_Clear(), nullptr;
  return reinterpret_cast<std::uintptr_t>(address) % like.alignment == 0 ? address : nullptr;
}

// Whether two options are one: the same object, or plain values of one type with the same bits. 1, 1.0 and True differ,
// as do 0.0 and -0.0.
inline bool same_option(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr || Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) {
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof x) == 0;
  }
  if (PyTuple_CheckExact(a)) {
    if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a); ++i) {
      if (!same_option(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i))) return false;
    }
    return true;
  }
  return (PyLong_CheckExact(a) || PyUnicode_CheckExact(a)) && PyObject_RichCompareBool(a, b, Py_EQ) == 1;
}

// An array without memory of its own, which takes the place of another in the arguments of a native call.
class Seat {
 public:
  explicit Seat(py::array view) : view_(std::move(view)) {}
  void take(void* address) const { py::detail::array_proxy(view_.ptr())->data = static_cast<char*>(address); }

 private:
  py::array view_;
};

// An array of the same shape and element type at the same address, that keeps nothing alive.
inline py::array seat(const py::array& array) {
  const std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
  return py::array(array.dtype(), shape, array.data(), py::none());
}

// More arrays than any kernel has.
constexpr std::size_t kMostArrays = 16;
using Addresses = std::array<void*, kMostArrays>;

// One call that was made: what it looked like, and how to make it again.
struct Repeat {
  std::vector<Likeness> arrays;
  py::dict options;
  py::object threads;
  py::object function;
  py::tuple arguments;
  std::vector<std::pair<Seat, std::size_t>> inputs;   // and which of `arrays` sits there
  std::vector<std::pair<Seat, std::size_t>> results;  // and which of `memory`
  std::vector<std::pair<std::vector<py::ssize_t>, py::dtype>> memory;
  std::vector<int> returned;  // which of `memory`; -1: None
  py::object from_numpy;      // what makes a result the caller's kind of array; None: nothing need be done

  // Whether a call is such a one; then `addresses` are its arrays'.
  bool fits(PyObject* const* given, std::size_t count, PyObject* given_options, PyObject* given_threads,
            Addresses& addresses) const {
    if (count != arrays.size() || !same_option(given_threads, threads.ptr()) ||
        PyDict_GET_SIZE(given_options) != PyDict_GET_SIZE(options.ptr())) {
      return false;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const PyTypeObject* kind = given[i] == Py_None ? nullptr : Py_TYPE(given[i]);
      if (kind != arrays[i].kind) return false;
    }
    PyObject *name, *value;
    for (Py_ssize_t at = 0; PyDict_Next(options.ptr(), &at, &name, &value) != 0;) {
      if (!same_option(PyDict_GetItem(given_options, name), value)) return false;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const Likeness& like = arrays[i];
      if (like.kind == nullptr) continue;
      addresses[i] = like.is_numpy ? address_if_numpy(given[i], like) : address_if_torch(given[i], like);
      if (addresses[i] == nullptr) return false;
    }
    return true;
  }

  // The GIL is held from the first seat taken until the native call has read its addresses.
  py::tuple make(const Addresses& addresses) const {
    std::vector<py::array> owned;
    owned.reserve(memory.size());
    for (const auto& [shape, dtype] : memory) owned.push_back(empty(shape, dtype));
    for (const auto& [seat, which] : inputs) seat.take(addresses[which]);
    for (const auto& [seat, which] : results) seat.take(owned[which].mutable_data());
    const auto done = py::reinterpret_steal<py::object>(PyObject_CallObject(function.ptr(), arguments.ptr()));
    if (!done) throw py::error_already_set();
    py::tuple answer(returned.size());
    for (std::size_t i = 0; i < returned.size(); ++i) {
      if (returned[i] < 0) {
        answer[i] = py::none();
      } else if (from_numpy.is_none()) {
        answer[i] = owned[static_cast<std::size_t>(returned[i])];
      } else {
        answer[i] = from_numpy(owned[static_cast<std::size_t>(returned[i])]);
      }
    }
    return answer;
  }
};

// The last kinds of call of one kernel, the latest first.
class RepeatTable {
 public:
  explicit RepeatTable(std::size_t most) : most_(most) {}

  // `arrays`: None or (type, is_numpy, dtype, shape, bytes of an element, layout, whether gradients are on).
  // `inputs` and `results`: (seat in `arguments`, its place in `arrays` or in `memory`). `memory`: (shape, dtype).
  void add(const py::list& arrays, const py::dict& options, const py::int_& threads, const py::object& function,
           const py::tuple& arguments, const std::vector<std::pair<py::array, std::size_t>>& inputs,
           const std::vector<std::pair<py::array, std::size_t>>& results,
           const std::vector<std::pair<std::vector<py::ssize_t>, py::dtype>>& memory, const std::vector<int>& returned,
           const py::object& from_numpy) {
    Repeat repeat{{}, options, threads, function, arguments, {}, {}, memory, returned, from_numpy};
    require(arrays.size() <= kMostArrays, "too many arrays");
    for (const auto& entry : arrays) {
      if (entry.is_none()) {
        repeat.arrays.push_back({nullptr, false, py::none(), {}, 1, py::none(), py::none()});
        continue;
      }
      const auto like = py::cast<py::tuple>(entry);
      repeat.arrays.push_back({reinterpret_cast<PyTypeObject*>(like[0].ptr()), py::cast<bool>(like[1]), like[2],
                               py::cast<std::vector<Index>>(like[3]), py::cast<std::uintptr_t>(like[4]), like[5],
                               like[6]});
    }
    for (const auto& [view, which] : inputs) {
      require(which < repeat.arrays.size(), "an input is none of the arrays");
      repeat.inputs.emplace_back(Seat(view), which);
    }
    for (const auto& [view, which] : results) {
      require(which < memory.size(), "a result has no memory");
      repeat.results.emplace_back(Seat(view), which);
    }
    for (const int which : returned) {
      require(which < static_cast<int>(memory.size()), "what is returned has no memory");
    }
    if (repeats_.size() >= most_) repeats_.pop_back();
    repeats_.insert(repeats_.begin(), std::make_shared<const Repeat>(std::move(repeat)));
  }

  // The results of a call such as was made before; None when it is another.
  py::object run(const py::tuple& arrays, const py::dict& options, const py::object& threads) {
    PyObject* const* given = PySequence_Fast_ITEMS(arrays.ptr());
    Addresses addresses;
    for (std::size_t i = 0; i < repeats_.size(); ++i) {
      // Kept: torch gives the GIL away when it is asked, and so does the kernel.
      const std::shared_ptr<const Repeat> repeat = repeats_[i];
      if (!repeat->fits(given, arrays.size(), options.ptr(), threads.ptr(), addresses)) continue;
      if (i > 0 && i < repeats_.size()) std::swap(repeats_[i], repeats_[i - 1]);
      return repeat->make(addresses);
    }
    return py::none();
  }

  std::size_t size() const { return repeats_.size(); }

 private:
  std::size_t most_;
  std::vector<std::shared_ptr<const Repeat>> repeats_;
};

inline void define_repeat(py::module_& module) {
  module.def(
      "release_results", [] { return ResultBlocks::get().release(); },
      "Give back the memory of results that were given up; its bytes.");
  module.def("empty", &empty, "shape"_a, "dtype"_a, "Memory for a result, aligned to a cache line.");
  module.def("poison_results", [](bool on) { poisoning() = on; }, "on"_a, "Whether results begin as NaN: for tests.");
  module.def("seat", &seat, "array"_a, "An array at the same address that keeps nothing alive.");
  py::class_<RepeatTable>(module, "RepeatTable", "Calls of one kernel that were made before.")
      .def(py::init<std::size_t>(), "most"_a)
      .def("add", &RepeatTable::add, "arrays"_a, "options"_a, "threads"_a, "function"_a, "arguments"_a, "inputs"_a,
           "results"_a, "memory"_a, "returned"_a, "from_numpy"_a)
      .def("run", &RepeatTable::run, "arrays"_a, "options"_a, "threads"_a)
      .def("__len__", &RepeatTable::size);
}

}  // namespace eb::bindings
