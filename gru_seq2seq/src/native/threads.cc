#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace native {
namespace {

// Cores of the cgroup's quota, rounded up; 0 where there is none (https://docs.kernel.org/admin-guide/cgroup-v2.html).
int cgroup_quota() {
  long quota = 0, period = 0;
  if (FILE *file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(file, "%ld %ld", &quota, &period) != 2) quota = period = 0;
    std::fclose(file);
  }
  return period > 0 && quota > 0 ? (int)((quota + period - 1) / period) : 0;
}

int thread_count() {
  if (const char *wanted = std::getenv("NATIVE_THREADS")) return std::max(1, std::atoi(wanted));
  int count = (int)std::thread::hardware_concurrency();
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) count = CPU_COUNT(&cores);
  int quota = cgroup_quota();
  return std::max(1, quota ? std::min(count, quota) : count);
}

// A thread that wakes up late finds nothing left to do: nobody waits for it.
struct Job {
  const std::function<void(int)> *task;
  int count;
  std::atomic<int> next{0}, left;
  Job(const std::function<void(int)> &task, int count) : task(&task), count(count), left(count) {}
};

class Pool {
 public:
  explicit Pool(int threads) : helpers_(threads - 1) {
    for (int k = 0; k < helpers_; k++) std::thread([this] { serve(); }).detach();
  }

  void run(int count, const std::function<void(int)> &task) {
    if (count <= 1 || helpers_ == 0) {
      for (int k = 0; k < count; k++) task(k);
      return;
    }
    auto job = std::make_shared<Job>(task, count);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = job;
      round_++;
    }
    wake_.notify_all();
    work(*job);
    spin_until([&] { return job->left == 0; });
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return job->left == 0; });
  }

 private:
  // Calls of a training follow each other closely, so waiting for the next one begins with some microseconds of looking
  // for it; more would take the core from another process.
  template <class Condition>
  static void spin_until(Condition condition) {
    for (int k = 0; k < 2000 && !condition(); k++) std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  void work(Job &job) {
    for (int k; (k = job.next++) < job.count;) {
      (*job.task)(k);
      if (--job.left == 0) {
        std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_all();
      }
    }
  }

  void serve() {
    for (uint64_t seen = 0;;) {
      spin_until([&] { return round_ != seen; });
      std::shared_ptr<Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return round_ != seen; });
        seen = round_;
        job = job_;
      }
      work(*job);
    }
  }

  const int helpers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::shared_ptr<Job> job_;
  std::atomic<uint64_t> round_{0};
};

// Never destroyed: at the end of the process its threads may still look at it. A forked child has none of the threads
// and so makes a pool of its own.
Pool *pool_of_process = nullptr;
std::mutex creation;

Pool &pool() {
  std::lock_guard<std::mutex> lock(creation);
  if (!pool_of_process) {
    static const int registered = pthread_atfork([] { creation.lock(); }, [] { creation.unlock(); },
                                                 [] { pool_of_process = nullptr; creation.unlock(); });
    (void)registered;
    pool_of_process = new Pool(thread_count());
  }
  return *pool_of_process;
}

}  // namespace

void parallel(int count, const std::function<void(int)> &task) { pool().run(count, task); }

}  // namespace native
