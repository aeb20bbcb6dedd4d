/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/loop.h"

/* Names come from drivers, of which there are few; a plug-in that invents them is cut off here. */
#define SERIES_MAX 256u
#define OTHER "other"

static const double limits[] = { 0.001, 0.01, 0.1, 1, 10, 60 };   /* seconds */

struct operation {
    char type[48], name[64];
    uint64_t buckets[ELEMENTSOF(limits) + 1];
    double seconds;
};

struct failure {
    char type[48], name[64], error[48];
    uint64_t count;
};

struct bytes {
    char type[48];
    uint64_t from_client, to_client;
};

static struct operation operations[SERIES_MAX];
static struct failure failures[SERIES_MAX];
static struct bytes streams[SERIES_MAX];
static unsigned operation_count, failure_count, stream_count;

static void copy(char *ret, size_t size, const char *text) { snprintf(ret, size, "%s", text && *text ? text : OTHER); }

static bool is(const char *kept, size_t size, const char *text)
{
    return strncmp(kept, text && *text ? text : OTHER, size - 1) == 0;
}

static struct operation *find_operation(const char *type, const char *name)
{
    struct operation *operation;

    for (unsigned i = 0; i < operation_count; i++) {
        operation = &operations[i];
        if (is(operation->type, sizeof(operation->type), type) && is(operation->name, sizeof(operation->name), name))
            return operation;
    }
    if (operation_count == SERIES_MAX)
        return &operations[SERIES_MAX - 1];
    operation = &operations[operation_count++];
    copy(operation->type, sizeof(operation->type), operation_count == SERIES_MAX ? OTHER : type);
    copy(operation->name, sizeof(operation->name), operation_count == SERIES_MAX ? OTHER : name);
    return operation;
}

static struct failure *find_failure(const char *type, const char *name, const char *error)
{
    struct failure *failure;

    for (unsigned i = 0; i < failure_count; i++) {
        failure = &failures[i];
        if (is(failure->type, sizeof(failure->type), type) && is(failure->name, sizeof(failure->name), name) &&
            is(failure->error, sizeof(failure->error), error))
            return failure;
    }
    if (failure_count == SERIES_MAX)
        return &failures[SERIES_MAX - 1];
    failure = &failures[failure_count++];
    copy(failure->type, sizeof(failure->type), failure_count == SERIES_MAX ? OTHER : type);
    copy(failure->name, sizeof(failure->name), failure_count == SERIES_MAX ? OTHER : name);
    copy(failure->error, sizeof(failure->error), failure_count == SERIES_MAX ? OTHER : error);
    return failure;
}

void jmp_metrics_operation(const char *driver_type, const char *operation, const char *error_type, uint64_t usec)
{
    struct operation *found = find_operation(driver_type, operation);
    double seconds = (double)usec / (double)JMP_USEC_PER_SEC;
    unsigned bucket = 0;

    while (bucket < ELEMENTSOF(limits) && seconds > limits[bucket])
        bucket++;
    found->buckets[bucket]++;
    found->seconds += seconds;
    if (error_type)
        find_failure(driver_type, operation, error_type)->count++;
}

void jmp_metrics_bytes(const char *driver_type, uint64_t from_client, uint64_t to_client)
{
    struct bytes *found = NULL;

    for (unsigned i = 0; i < stream_count && !found; i++)
        if (is(streams[i].type, sizeof(streams[i].type), driver_type))
            found = &streams[i];
    if (!found) {
        found = &streams[stream_count < SERIES_MAX ? stream_count++ : SERIES_MAX - 1];
        if (!*found->type)
            copy(found->type, sizeof(found->type), stream_count == SERIES_MAX ? OTHER : driver_type);
    }
    found->from_client += from_client;
    found->to_client += to_client;
}

/* A label's value: quotes, backslashes and line breaks are escaped. */
static void put_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '"' || *value == '\\')
            fprintf(out, "\\%c", *value);
        else
            fputc(*value, out);
    }
    fputc('"', out);
}

static void put_operation_labels(FILE *out, const char *type, const char *name)
{
    put_label(out, "{driver_type", type);
    put_label(out, ",operation", name);
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

static uint64_t count_of(const struct operation *operation)
{
    uint64_t count = 0;

    for (size_t i = 0; i < ELEMENTSOF(operation->buckets); i++)
        count += operation->buckets[i];
    return count;
}

static void put_operations(FILE *out)
{
    head(out, "jumpstarter_operations", "counter", "Calls of drivers that have ended.");
    for (unsigned i = 0; i < operation_count; i++) {
        fputs("jumpstarter_operations_total", out);
        put_operation_labels(out, operations[i].type, operations[i].name);
        fprintf(out, "} %llu\n", (unsigned long long)count_of(&operations[i]));
    }
    head(out, "jumpstarter_operation_errors", "counter", "Those that failed.");
    for (unsigned i = 0; i < failure_count; i++) {
        fputs("jumpstarter_operation_errors_total", out);
        put_operation_labels(out, failures[i].type, failures[i].name);
        put_label(out, ",error_type", failures[i].error);
        fprintf(out, "} %llu\n", (unsigned long long)failures[i].count);
    }
    head(out, "jumpstarter_operation_duration_seconds", "histogram", "How long calls of drivers took.");
    for (unsigned i = 0; i < operation_count; i++) {
        uint64_t sum = 0;

        for (size_t k = 0; k < ELEMENTSOF(operations[i].buckets); k++) {
            sum += operations[i].buckets[k];
            fputs("jumpstarter_operation_duration_seconds_bucket", out);
            put_operation_labels(out, operations[i].type, operations[i].name);
            if (k < ELEMENTSOF(limits))
                fprintf(out, ",le=\"%g\"} %llu\n", limits[k], (unsigned long long)sum);
            else
                fprintf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)sum);
        }
        fputs("jumpstarter_operation_duration_seconds_sum", out);
        put_operation_labels(out, operations[i].type, operations[i].name);
        fprintf(out, "} %.6f\njumpstarter_operation_duration_seconds_count", operations[i].seconds);
        put_operation_labels(out, operations[i].type, operations[i].name);
        fprintf(out, "} %llu\n", (unsigned long long)sum);
    }
}

static void put_streams(FILE *out)
{
    head(out, "jumpstarter_stream_bytes", "counter", "Payload of driver streams that have ended.");
    for (unsigned i = 0; i < stream_count; i++) {
        for (unsigned to_client = 0; to_client < 2; to_client++) {
            put_label(out, "jumpstarter_stream_bytes_total{driver_type", streams[i].type);
            put_label(out, ",direction", to_client ? "to_client" : "from_client");
            fprintf(out, "} %llu\n",
                    (unsigned long long)(to_client ? streams[i].to_client : streams[i].from_client));
        }
    }
}

/* As Prometheus' own clients name them; what cannot be read is left out. */
static void put_process(FILE *out)
{
    unsigned long long size, resident;
    struct timespec cpu;
    FILE *statm = fopen("/proc/self/statm", "re");

    if (statm && fscanf(statm, "%llu %llu", &size, &resident) == 2) {
        head(out, "process_resident_memory_bytes", "gauge", "Memory that is in RAM.");
        fprintf(out, "process_resident_memory_bytes %llu\n", resident * (unsigned long long)sysconf(_SC_PAGESIZE));
    }
    if (statm)
        fclose(statm);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
        head(out, "process_cpu_seconds", "counter", "Time on a processor.");
        fprintf(out, "process_cpu_seconds_total %lld.%06ld\n", (long long)cpu.tv_sec, cpu.tv_nsec / 1000);
    }
}

void jmp_metrics_print(FILE *out, const struct jmp_metrics_now *now)
{
    const struct {
        const char *name, *suffix, *type, *help;
        uint64_t value;
    } plain[] = {
        { "jumpstarter_active_sessions", "", "gauge", "Clients that are connected.", now->tunnels },
        { "jumpstarter_leased", "", "gauge", "1 while there is a lease.", now->leased },
        { "jumpstarter_leases", "_total", "counter", "Leases that have begun.", now->leases },
        { "jumpstarter_controller_connected", "", "gauge", "1 while the controller speaks to us.", now->connected },
        { "jumpstarter_controller_reconnects", "_total", "counter", "Times that the controller was lost.",
          now->reconnects },
        { "jumpstarter_devices", "", "gauge", "Devices that are configured.", now->devices },
        { "jumpstarter_devices_missing", "", "gauge", "Those whose hardware is not there.", now->missing },
    };

    put_operations(out);
    put_streams(out);
    for (size_t i = 0; i < ELEMENTSOF(plain); i++) {
        head(out, plain[i].name, plain[i].type, plain[i].help);
        fprintf(out, "%s%s %llu\n", plain[i].name, plain[i].suffix, (unsigned long long)plain[i].value);
    }
    put_process(out);
    fputs("# EOF\n", out);
}
