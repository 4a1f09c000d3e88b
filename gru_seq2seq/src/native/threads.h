// A pool of threads for work that is divided in the same way however many threads there are, so that results do not
// depend on their number.
#pragma once
#include <functional>

namespace native {

// Calls task(k) for 0 <= k < count on all cores that the process may use, and returns when all are done. NATIVE_THREADS
// in the environment overrides the number of threads.
void parallel(int count, const std::function<void(int)> &task);

}  // namespace native
