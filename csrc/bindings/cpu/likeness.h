// Whether the arguments of a call are like those of one before.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "bindings/cpu/arrays.h"
#include "bindings/cpu/exchange.h"

namespace eb::bindings {

// What an argument was like: None, a numpy array or a torch tensor.
struct Likeness {
  PyTypeObject* kind;             // exactly; null for None
  bool is_numpy;                  //
  py::object dtype;               // numpy's or torch's own object of the element type
  std::vector<Index> shape;       //
  std::uintptr_t alignment;       // bytes of an element
  py::object layout, grad_is_on;  // torch.strided and torch.is_grad_enabled
  const DlExchange* exchange;     // what a tensor is looked at with; null: its attributes
  DlType type;                    // the same element type and shape for it
  DenseLayout dense;              //
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

// What the attributes of a tensor say of its memory, for a torch without an exchange.
inline void* address_by_attributes(PyObject* tensor, const Likeness& like) {
  const TorchNames& names = TorchNames::get();
  if (!answers(tensor, names.dtype, like.dtype.ptr()) || !answers(tensor, names.layout, like.layout.ptr()) ||
      !answers(tensor, names.is_cpu, Py_True) || !replies(tensor, names.is_contiguous, Py_True)) {
    return nullptr;
  }
  const auto shape = py::reinterpret_steal<py::object>(PyObject_GetAttr(tensor, names.shape));
  if (!shape || !has_shape(shape.ptr(), like.shape)) return PyErr_Clear(), nullptr;
  const auto pointer = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor, names.data_ptr));
  if (!pointer) return PyErr_Clear(), nullptr;
  void* address = PyLong_AsVoidPtr(pointer.ptr());
  return address == nullptr ? (PyErr_Clear(), nullptr) : address;
}

inline void* address_if_torch(PyObject* tensor, const Likeness& like) {
  const TorchNames& names = TorchNames::get();
  if (!replies(tensor, names.is_neg, Py_False)) return nullptr;
  if (!answers(tensor, names.requires_grad, Py_False)) {
    PyObject* on = PyObject_CallNoArgs(like.grad_is_on.ptr());
    if (on == nullptr) return PyErr_Clear(), nullptr;
    Py_DECREF(on);
    if (on != Py_False) return nullptr;
  }
  void* address = like.exchange == nullptr ? address_by_attributes(tensor, like)
                                           : address_if_dense(*like.exchange, tensor, like.type, like.dense);
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

}  // namespace eb::bindings
