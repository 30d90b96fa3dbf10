// Tensors looked at and made without Python's attributes: the table of C functions that a framework offers by the
// DLPack protocol, version 1.3 (a capsule in `type(tensor).__dlpack_c_exchange_api__`; torch from 2.10 on). The
// structures are the protocol's, whose layout every version 1 keeps. No framework is linked and none is named.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bindings/cpu/arrays.h"
#include "bindings/cpu/result_blocks.h"

namespace eb::bindings {

struct DlVersion {
  std::uint32_t major, minor;
};
struct DlDevice {
  std::int32_t kind, index;
};
struct DlType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
  bool operator==(const DlType& other) const {
    return code == other.code && bits == other.bits && lanes == other.lanes;
  }
};
struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t dimensions;
  DlType type;
  std::int64_t *shape, *strides;  // in elements
  std::uint64_t byte_offset;
};
struct DlManagedTensor {
  DlVersion version;
  void* context;
  void (*deleter)(DlManagedTensor*);
  std::uint64_t flags;
  DlTensor tensor;
};
struct DlExchange {
  DlVersion version;
  void* previous;
  void (*allocate)();
  void (*manage)();
  int (*to_object)(DlManagedTensor*, void** object);  // takes the memory over; 0, or -1 and Python's error is set
  int (*look)(void* object, DlTensor* lent);          // what `lent` points to is the tensor's; 0 or -1
  void (*stream)();
};
constexpr std::int32_t kDlCpu = 1;

// The table in a framework's capsule; null for None and where it is not of version 1 or has not all that is used here.
inline const DlExchange* exchange_in(const py::object& capsule) {
  if (capsule.is_none()) return nullptr;
  const auto* table = static_cast<const DlExchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (table == nullptr) throw py::error_already_set();
  return table->version.major == 1 && table->to_object != nullptr && table->look != nullptr ? table : nullptr;
}

// The protocol's name of one of numpy's integers, floating-point or truth types.
inline DlType dl_type(const py::dtype& dtype) {
  std::uint8_t code = 0;
  switch (dtype.kind()) {
    case 'i':
      code = 0;
      break;
    case 'u':
      code = 1;
      break;
    case 'f':
      code = 2;
      break;
    case 'b':
      code = 6;
      break;
    default:
      throw py::value_error("an element type that tensors do not have");
  }
  return {code, static_cast<std::uint8_t>(8 * dtype.itemsize()), 1};
}

// A shape, and behind it the strides of a dense array of it.
using DenseLayout = std::vector<Index>;
inline DenseLayout dense_layout(const std::vector<py::ssize_t>& shape) {
  DenseLayout layout(shape.begin(), shape.end());
  layout.resize(2 * shape.size());
  Index stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    layout[shape.size() + i] = stride;
    stride *= std::max<Index>(layout[i], 1);
  }
  return layout;
}

// Where the data of a tensor begins, when it lies in the processor's memory, dense, with this type and layout. Null
// when not, and where there is no such tensor.
inline void* address_if_dense(const DlExchange& exchange, PyObject* object, DlType type, const DenseLayout& layout) {
  DlTensor tensor{};
  if (exchange.look(object, &tensor) != 0) return PyErr_Clear(), nullptr;
  const std::size_t dimensions = layout.size() / 2;
  if (tensor.device.kind != kDlCpu || !(tensor.type == type) || tensor.data == nullptr ||
      tensor.dimensions != static_cast<std::int32_t>(dimensions)) {
    return nullptr;
  }
  for (std::size_t i = 0; i < dimensions; ++i) {
    const bool strides_weigh = layout[i] > 1;  // along one element there is no step
    if (tensor.shape[i] != layout[i] || (strides_weigh && tensor.strides[i] != layout[dimensions + i])) return nullptr;
  }
  return static_cast<char*>(tensor.data) + tensor.byte_offset;
}

// A tensor of the framework's that owns the block. Raises what the framework raises.
inline py::object tensor_of(const DlExchange& exchange, Block block, DlType type,
                            const std::shared_ptr<DenseLayout>& layout) {
  struct Owner {
    DlManagedTensor managed;
    Block block;
    std::shared_ptr<DenseLayout> layout;
  };
  const std::size_t dimensions = layout->size() / 2;
  void* data = block.data();
  auto* owner = new Owner{{}, std::move(block), layout};
  std::int64_t* sizes = layout->data();
  owner->managed = {{1, 0},
                    owner,
                    [](DlManagedTensor* self) { delete static_cast<Owner*>(self->context); },  // from any thread
                    0,
                    {data, {kDlCpu, 0}, static_cast<std::int32_t>(dimensions), type, sizes, sizes + dimensions, 0}};
  void* object = nullptr;
  if (exchange.to_object(&owner->managed, &object) != 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(static_cast<PyObject*>(object));
}

}  // namespace eb::bindings
