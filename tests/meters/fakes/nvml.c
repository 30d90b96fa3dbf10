/* A stand-in for libnvidia-ml.so.1, driven by the scenario file that FAKE_NVML_SCENARIO names.
 *
 * One process, real time: the counter moves with CLOCK_MONOTONIC, so a test that knows the scenario knows the truth
 * between any two moments. Every board draws a square wave, power_w + load_w while the phase of load_period_s is below
 * load_duty. At each tick the sensor averages that over the last window_s and charges the average for a whole tick.
 * Only the calls that energybench makes exist; declarations are our own, from the public layout of the interface.
 *
 * Scenario: lines "key value"; "#" begins a comment. Keys: the fields of `scenario` below, and
 *   fail CALL CODE        that call returns CODE
 *   fail_field ID SCOPE   that field answers NotSupported
 *   fake_uuid 0           UUIDs without the prefix GPU-FAKE, to see it refused
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_GPUS 16
#define MAX_RULES 32

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { FIELD_ENERGY = 83, FIELD_AVERAGE = 185, FIELD_INSTANT = 186 };
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };

typedef struct {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
} pci_info;

typedef struct {
  unsigned gpu, memory;
} utilization;

typedef struct {
  uint32_t field, scope;
  int64_t timestamp, latency_us;
  int type, status;
  union {
    unsigned u;
    unsigned long long ull;
  } value;
} field_value;

typedef struct {
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance, compute_instance;
} process_info;

static struct {
  double gpus, power_w, load_w, load_period_s, load_duty, tick_s, tick_phase_s, window_s, average_s, gain, power_gain,
      noise, seed, resolution_mj, reset_after_s, lost_after_s, mig, virtualization, architecture, throttle, fake_uuid,
      module_w, start_mj;
  char name[96];
} scenario;

static struct {
  char call[64];
  int code;
} failures[MAX_RULES];
static struct {
  unsigned field, scope;
} missing_fields[MAX_RULES];
static int failure_count, missing_count;

typedef struct {
  int index;
  int64_t tick;    /* last tick that was counted */
  double energy_j; /* what the sensor has counted since the start */
  double last_w;   /* what it saw at the last tick */
} board;
static board boards[MAX_GPUS];
static double start_s;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* True energy of one board from time 0 to t. */
static double true_energy_j(double t) {
  double whole = floor(t / scenario.load_period_s);
  double rest = t - whole * scenario.load_period_s;
  double on = scenario.load_duty * scenario.load_period_s;
  return scenario.power_w * t + scenario.load_w * (whole * on + (rest < on ? rest : on));
}

/* Standard normal noise of one tick, the same however often it is asked for. */
static double noise_of(int64_t tick) {
  uint64_t x = (uint64_t)tick * 0x9E3779B97F4A7C15u + (uint64_t)scenario.seed;
  double sum = 0;
  for (int i = 0; i < 12; i++) { /* Irwin-Hall */
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    sum += (double)(x >> 11) / 9007199254740992.0;
  }
  return sum - 6;
}

static void advance(board* b) {
  double t = now_s();
  int64_t last = (int64_t)floor((t - scenario.tick_phase_s) / scenario.tick_s);
  for (int64_t tick = b->tick + 1; tick <= last; tick++) {
    double at = (double)tick * scenario.tick_s + scenario.tick_phase_s;
    b->last_w = (true_energy_j(at) - true_energy_j(at - scenario.window_s)) / scenario.window_s;
    double seen_w = b->last_w * scenario.gain * (1 + scenario.noise * noise_of(tick));
    b->energy_j += (seen_w > 0 ? seen_w : 0) * scenario.tick_s;
    if (scenario.reset_after_s > 0 && at - start_s >= scenario.reset_after_s &&
        at - scenario.tick_s - start_s < scenario.reset_after_s)
      b->energy_j = 0, scenario.start_mj = 0;
  }
  if (last > b->tick) b->tick = last;
}

static void set(const char* key, double value) {
#define FIELD(name)          \
  if (!strcmp(key, #name)) { \
    scenario.name = value;   \
    return;                  \
  }
  FIELD(gpus)
  FIELD(power_w) FIELD(load_w) FIELD(load_period_s) FIELD(load_duty) FIELD(tick_s) FIELD(tick_phase_s) FIELD(window_s)
      FIELD(average_s) FIELD(gain) FIELD(power_gain) FIELD(noise) FIELD(seed) FIELD(resolution_mj) FIELD(reset_after_s)
          FIELD(lost_after_s) FIELD(mig) FIELD(virtualization) FIELD(architecture) FIELD(throttle) FIELD(fake_uuid)
              FIELD(module_w) FIELD(start_mj) fprintf(stderr, "fake nvml: unknown key %s\n", key);
  abort();
}

static void load_scenario(void) {
  memset(&scenario, 0, sizeof scenario);
  scenario.gpus = 1, scenario.power_w = 100, scenario.load_period_s = 1, scenario.tick_s = 0.1;
  scenario.window_s = 0.1, scenario.average_s = 1, scenario.gain = 1, scenario.power_gain = 1;
  scenario.resolution_mj = 1, scenario.mig = -1, scenario.architecture = 9, scenario.fake_uuid = 1;
  scenario.start_mj = 1e6;
  strcpy(scenario.name, "Fake H100");
  failure_count = missing_count = 0;
  const char* path = getenv("FAKE_NVML_SCENARIO");
  FILE* file = path ? fopen(path, "r") : NULL;
  if (!file) {
    fprintf(stderr, "fake nvml: FAKE_NVML_SCENARIO names no file\n");
    abort();
  }
  char line[256], key[64], word[64];
  double value;
  while (fgets(line, sizeof line, file)) {
    if (line[0] == '#' || sscanf(line, "%63s", key) != 1) continue;
    if (!strcmp(key, "name")) {
      sscanf(line, "name %95[^\n]", scenario.name);
    } else if (!strcmp(key, "fail")) {
      sscanf(line, "fail %63s %d", failures[failure_count].call, &failures[failure_count].code);
      failure_count++;
    } else if (!strcmp(key, "fail_field")) {
      sscanf(line, "fail_field %u %u", &missing_fields[missing_count].field, &missing_fields[missing_count].scope);
      missing_count++;
    } else if (sscanf(line, "%63s %63s", key, word) == 2) {
      value = atof(word);
      set(key, value);
    }
  }
  fclose(file);
}

/* The error that the scenario wants of this call, 0 for none. */
static int failure(const char* call) {
  for (int i = 0; i < failure_count; i++)
    if (!strcmp(failures[i].call, call)) return failures[i].code;
  if (scenario.lost_after_s > 0 && now_s() - start_s >= scenario.lost_after_s && strstr(call, "nvmlDevice"))
    return GPU_IS_LOST;
  return SUCCESS;
}
#define CHECK()                           \
  do {                                    \
    int failed = failure(__func__);       \
    if (failed != SUCCESS) return failed; \
  } while (0)

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  load_scenario();
  CHECK();
  static int started;
  if (!started) start_s = now_s();
  started = 1;
  for (int i = 0; i < MAX_GPUS; i++)
    if (boards[i].tick == 0) {
      boards[i].index = i;
      boards[i].tick = (int64_t)floor((now_s() - scenario.tick_phase_s) / scenario.tick_s) - 1;
      advance(&boards[i]);
    }
  return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) { return SUCCESS; }

const char* nvmlErrorString(int code) {
  switch (code) {
    case NOT_SUPPORTED:
      return "Not Supported";
    case NOT_FOUND:
      return "Not Found";
    case GPU_IS_LOST:
      return "GPU is lost";
    default:
      return "Fake error";
  }
}

int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  CHECK();
  snprintf(text, size, "0.0-fake");
  return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  CHECK();
  *count = (unsigned)scenario.gpus;
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, board** handle) {
  CHECK();
  if (index >= (unsigned)scenario.gpus) return INVALID_ARGUMENT;
  *handle = &boards[index];
  return SUCCESS;
}

static void uuid_of(const board* b, char* text, unsigned size) {
  snprintf(text, size, "%s-%08d-0000-0000-0000-000000000000", scenario.fake_uuid ? "GPU-FAKE" : "GPU", b->index);
}

static void bus_id_of(const board* b, char* text, unsigned size) {
  snprintf(text, size, "00000000:%02X:00.0", b->index + 1);
}

int nvmlDeviceGetHandleByUUID(const char* uuid, board** handle) {
  CHECK();
  char text[96];
  for (int i = 0; i < (int)scenario.gpus; i++) {
    uuid_of(&boards[i], text, sizeof text);
    if (!strcmp(text, uuid)) return *handle = &boards[i], SUCCESS;
  }
  return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, board** handle) {
  CHECK();
  char text[32];
  for (int i = 0; i < (int)scenario.gpus; i++) {
    bus_id_of(&boards[i], text, sizeof text);
    if (!strcmp(text, bus_id)) return *handle = &boards[i], SUCCESS;
  }
  return NOT_FOUND;
}

int nvmlDeviceGetUUID(board* b, char* text, unsigned size) {
  CHECK();
  uuid_of(b, text, size);
  return SUCCESS;
}

int nvmlDeviceGetName(board* b, char* text, unsigned size) {
  (void)b;
  CHECK();
  snprintf(text, size, "%s", scenario.name);
  return SUCCESS;
}

int nvmlDeviceGetPciInfo_v3(board* b, pci_info* info) {
  CHECK();
  memset(info, 0, sizeof *info);
  info->bus = (unsigned)b->index + 1;
  bus_id_of(b, info->bus_id, sizeof info->bus_id);
  return SUCCESS;
}

int nvmlDeviceGetMigMode(board* b, unsigned* current, unsigned* pending) {
  (void)b;
  CHECK();
  if (scenario.mig < 0) return NOT_SUPPORTED;
  *current = *pending = (unsigned)scenario.mig;
  return SUCCESS;
}

int nvmlDeviceGetVirtualizationMode(board* b, unsigned long long* mode) {
  (void)b;
  CHECK();
  *mode = (unsigned long long)scenario.virtualization;
  return SUCCESS;
}

int nvmlDeviceGetArchitecture(board* b, unsigned* architecture) {
  (void)b;
  CHECK();
  *architecture = (unsigned)scenario.architecture;
  return SUCCESS;
}

static unsigned long long energy_mj(board* b) {
  advance(b);
  double steps = floor(b->energy_j * 1e3 / scenario.resolution_mj);
  return (unsigned long long)(scenario.start_mj + steps * scenario.resolution_mj);
}

static double average_w(double duration_s) {
  double t = now_s();
  return (true_energy_j(t) - true_energy_j(t - duration_s)) / duration_s;
}

int nvmlDeviceGetTotalEnergyConsumption(board* b, unsigned long long* energy) {
  CHECK();
  *energy = energy_mj(b);
  return SUCCESS;
}

int nvmlDeviceGetPowerUsage(board* b, unsigned* power_mw) {
  (void)b;
  CHECK();
  *power_mw = (unsigned)(average_w(scenario.average_s) * scenario.power_gain * 1e3);
  return SUCCESS;
}

int nvmlDeviceGetFieldValues(board* b, int count, field_value* values) {
  CHECK();
  advance(b);
  for (int i = 0; i < count; i++) {
    field_value* v = &values[i];
    v->status = NOT_SUPPORTED;
    v->timestamp = (int64_t)(now_s() * 1e6);
    v->type = TYPE_UNSIGNED_INT;
    for (int k = 0; k < missing_count; k++)
      if (missing_fields[k].field == v->field && missing_fields[k].scope == v->scope) goto next;
    if (v->scope == 1 && scenario.module_w <= 0) continue;
    if (v->scope > 1) continue;
    double extra_w = v->scope == 1 ? scenario.module_w : 0;
    if (v->field == FIELD_INSTANT || v->field == FIELD_AVERAGE) {
      double w = v->field == FIELD_INSTANT ? b->last_w : average_w(scenario.average_s);
      v->value.u = (unsigned)((w + extra_w) * scenario.power_gain * 1e3);
      v->status = SUCCESS;
    } else if (v->field == FIELD_ENERGY) {
      v->type = TYPE_UNSIGNED_LONG_LONG;
      v->value.ull = energy_mj(b);
      v->status = SUCCESS;
    }
  next:;
  }
  return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(board* b, unsigned* limit_mw) {
  (void)b;
  CHECK();
  *limit_mw = 700000;
  return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(board* b, utilization* rates) {
  (void)b;
  CHECK();
  rates->gpu = 25, rates->memory = 10;
  return SUCCESS;
}

int nvmlDeviceGetClockInfo(board* b, int kind, unsigned* mhz) {
  (void)b;
  CHECK();
  *mhz = kind == 2 ? 2619 : 1755;
  return SUCCESS;
}

int nvmlDeviceGetMaxClockInfo(board* b, int kind, unsigned* mhz) {
  (void)b, (void)kind;
  CHECK();
  *mhz = 1980;
  return SUCCESS;
}

int nvmlDeviceGetTemperature(board* b, int sensor, unsigned* celsius) {
  (void)b, (void)sensor;
  CHECK();
  *celsius = 51;
  return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(board* b, unsigned long long* reasons) {
  (void)b;
  CHECK();
  *reasons = (unsigned long long)scenario.throttle;
  return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(board* b, unsigned* count, process_info* processes) {
  (void)b;
  CHECK();
  if (*count < 2 || !processes) return *count = 2, INSUFFICIENT_SIZE;
  *count = 2;
  memset(processes, 0, 2 * sizeof *processes);
  processes[0].pid = 42, processes[1].pid = 7;
  return SUCCESS;
}
