/* libamd_smi.so of our own, for the real Python package amdsmi: GPUs of steady power whose accumulators count it.
 *
 * FAKE_AMDSMI holds "key value" lines: gpus, power_w, resolution_uj, gain, frozen, no_power, current_w, refuse (a status of
 * amdsmi.h given by the energy call). A second GPU draws twice as much. Signatures: amdsmi.h of ROCm 7.0. Every other
 * symbol that the package asks for is a stub that says "not supported" (generated beside this file).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 2 };

static double value(const char *key, double otherwise) {
    const char *path = getenv("FAKE_AMDSMI");
    FILE *file = path ? fopen(path, "r") : NULL;
    char name[64];
    double number;
    double found = otherwise;
    while (file && fscanf(file, "%63s %lf", name, &number) == 2) {
        if (strcmp(name, key) == 0) {
            found = number;
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}

static double power_w(void *gpu) { return value("power_w", 200) * (double)(uintptr_t)gpu; }

int amdsmi_init(uint64_t flags) {
    (void)flags;
    return SUCCESS;
}

int amdsmi_shut_down(void) { return SUCCESS; }

int amdsmi_get_socket_handles(uint32_t *count, void **handles) {
    if (handles) {
        handles[0] = (void *)1;
    }
    *count = 1;
    return SUCCESS;
}

int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **handles) {
    (void)socket;
    *count = (uint32_t)value("gpus", 1);
    for (uintptr_t i = 0; handles && i < *count; i++) {
        handles[i] = (void *)(i + 1);
    }
    return SUCCESS;
}

int amdsmi_get_gpu_device_uuid(void *gpu, unsigned *length, char *uuid) {
    snprintf(uuid, *length, "GPU-FAKE-%u", (unsigned)(uintptr_t)gpu);
    return SUCCESS;
}

int amdsmi_get_energy_count(void *gpu, uint64_t *counts, float *resolution_uj, uint64_t *time_ns) {
    int refused = (int)value("refuse", SUCCESS);
    if (refused) {
        return refused;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    *resolution_uj = (float)value("resolution_uj", 15.3);
    double energy_uj = value("frozen", 0) ? 1e9 : power_w(gpu) * value("gain", 1) * (double)*time_ns * 1e-3;
    *counts = (uint64_t)(energy_uj / (double)*resolution_uj);
    return SUCCESS;
}

#pragma pack(push, 1)
struct power_info {
    uint64_t socket_w;
    uint32_t current_w;
    uint32_t average_w;
    uint64_t voltages[3];
    uint32_t limit;
    uint8_t padding[4];
    uint64_t reserved[18];
};
#pragma pack(pop)

int amdsmi_get_power_info(void *gpu, struct power_info *info) {
    if (value("no_power", 0)) {
        return NOT_SUPPORTED;
    }
    memset(info, 0, sizeof *info);
    info->socket_w = (uint64_t)power_w(gpu);
    info->current_w = (uint32_t)value("current_w", power_w(gpu));
    info->average_w = 0xFFFF;
    return SUCCESS;
}
