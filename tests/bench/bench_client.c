/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load on an exporter, written straight on gRPC core, so that one generator serves every peer: ours, the stock
 * exporter and bare-server. One measurement a run; its result is one line of JSON on stdout.
 *
 *   bench-client MODE WHERE [OPTION]...
 *
 * Modes:
 *   unary        DriverCall "on" of --driver, --concurrency at once
 *   items        StreamingDriverCall "read" of --driver
 *   echo         one message of --size there and back on an open stream of --driver
 *   flood        messages of --size there and back on an open stream, as many as flow control allows
 *   sink         messages of --size to --driver, counted where they arrive: at --accept or --raw
 *   source       bytes written in pieces of --size at --accept or --raw, counted in the client
 *   consoles     as many streams as --raw descriptors, drivers console0...: each board writes --rate bytes a second
 *   hold         --concurrency connections, each with one call made, until stdin ends
 *   drop         --count connections, each dropped at a random point (--seed)
 *
 * Where: --target HOST:PORT|unix:PATH; or through a router --router HOST:PORT --token T; or asking a controller for
 * both, --controller HOST:PORT --lease NAME --header KEY=VALUE... . --ca FILE: TLS towards router and controller.
 */
#include "bench.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options opt = { .driver = "power",
                       .concurrency = 1,
                       .count = 100,
                       .seed = 1,
                       .rate = 11500,
                       .size = 1,
                       .interval_us = 2000,
                       .seconds = 2,
                       .warm_up = 0.3,
                       .accept_fd = -1 };
grpc_completion_queue *cq;

static void add_header(char *text)
{
    char *equals = strchr(text, '=');

    if (!equals)
        die("--header: expected KEY=VALUE, found \"%s\"", text);
    *equals = '\0';
    headers_add(&opt.headers, text, equals + 1);
}

static void parse(int argc, char **argv)
{
    enum {
        TARGET = 1,
        ROUTER,
        TOKEN,
        TOKEN_FILE,
        CONTROLLER,
        LEASE,
        CA,
        HEADER,
        DRIVER,
        CONCURRENCY,
        COUNT,
        SEED,
        RATE,
        SIZE,
        SECONDS,
        WARM_UP,
        PID,
        ACCEPT,
        RAW,
        INTERVAL
    };
    static const struct option options[] = { { "target", 1, NULL, TARGET },
                                             { "router", 1, NULL, ROUTER },
                                             { "token", 1, NULL, TOKEN },
                                             { "bearer-file", 1, NULL, TOKEN_FILE },
                                             { "controller", 1, NULL, CONTROLLER },
                                             { "lease", 1, NULL, LEASE },
                                             { "ca", 1, NULL, CA },
                                             { "header", 1, NULL, HEADER },
                                             { "driver", 1, NULL, DRIVER },
                                             { "concurrency", 1, NULL, CONCURRENCY },
                                             { "count", 1, NULL, COUNT },
                                             { "seed", 1, NULL, SEED },
                                             { "rate", 1, NULL, RATE },
                                             { "size", 1, NULL, SIZE },
                                             { "seconds", 1, NULL, SECONDS },
                                             { "warm-up", 1, NULL, WARM_UP },
                                             { "pid", 1, NULL, PID },
                                             { "accept", 1, NULL, ACCEPT },
                                             { "raw", 1, NULL, RAW },
                                             { "interval", 1, NULL, INTERVAL },
                                             {} };
    char *bearer, *header;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case TARGET: opt.target = optarg; break;
        case ROUTER: opt.router = optarg; break;
        case TOKEN: opt.token = optarg; break;
        case TOKEN_FILE:   /* in a file, for arguments can be seen by everyone */
            read_all_of(optarg, &bearer);
            bearer[strcspn(bearer, "\n")] = '\0';
            if (asprintf(&header, "Bearer %s", bearer) < 0)
                die("out of memory");
            headers_add(&opt.headers, "authorization", header);
            break;
        case CONTROLLER: opt.controller = optarg; break;
        case LEASE: opt.lease = optarg; break;
        case CA: opt.ca = optarg; break;
        case HEADER: add_header(optarg); break;
        case DRIVER: opt.driver = optarg; break;
        case CONCURRENCY: opt.concurrency = (unsigned)atoi(optarg); break;
        case COUNT: opt.count = (unsigned)atoi(optarg); break;
        case SEED: opt.seed = (unsigned)atoi(optarg); break;
        case RATE: opt.rate = (unsigned)atoi(optarg); break;
        case SIZE: opt.size = (unsigned)atoi(optarg); break;
        case INTERVAL: opt.interval_us = (unsigned)atoi(optarg); break;
        case SECONDS: opt.seconds = atof(optarg); break;
        case WARM_UP: opt.warm_up = atof(optarg); break;
        case ACCEPT: opt.accept_fd = atoi(optarg); break;
        case PID:
            if (opt.pid_count == PIDS_MAX)
                die("at most %d processes", PIDS_MAX);
            opt.pids[opt.pid_count++] = atoi(optarg);
            break;
        case RAW:
            if (opt.raw_count == SLOTS_MAX)
                die("at most %d descriptors", SLOTS_MAX);
            opt.raw[opt.raw_count++] = atoi(optarg);
            break;
        default: exit(2);
        }
    if (optind != argc - 1)
        die("expected one mode");
    opt.mode = argv[optind];
    if (!opt.target + !(opt.router && opt.token) + !(opt.controller && opt.lease) != 2)
        die("expected one of --target, --router with --token, --controller with --lease");
    if (!opt.size || !opt.concurrency || !opt.interval_us)
        die("--size, --concurrency and --interval must be at least 1");
}

static void run_unary(void) { run_calls(false); }
static void run_items(void) { run_calls(true); }

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
    { "unary", run_unary }, { "items", run_items }, { "echo", run_echo }, { "flood", run_flood }, { "sink", run_sink },
    { "source", run_source }, { "consoles", run_consoles }, { "hold", run_hold }, { "drop", run_drop },
};

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    setenv("GRPC_DNS_RESOLVER", "native", 0);
    grpc_init();
    cq = grpc_completion_queue_create_for_next(NULL);

    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (!strcmp(opt.mode, modes[i].name)) {
            modes[i].run();
            fflush(stdout);
            _exit(0);   /* with calls under way: what is torn down orderly is measured elsewhere */
        }
    die("%s: no such mode", opt.mode);
}
