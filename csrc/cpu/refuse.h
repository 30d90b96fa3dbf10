// How a launch says that it cannot.
#pragma once

#include <cstdio>

#include "common/c_api.h"

namespace eb {

EB_FORCED int refuse(EbError* error, const char* reason) {
  std::snprintf(error->message, sizeof error->message, "%s", reason);
  return 1;
}

}  // namespace eb
