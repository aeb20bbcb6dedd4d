/* SPDX-License-Identifier: Apache-2.0 */
/* One mistake each, and one class without. */
#include "drivers/driver.h"

struct small {
    char byte;
};

static int both_call(void *self, struct jmp_call *call) { return 0; }
static int both_serve(void *self, struct jmp_call *call, int fd) { return 0; }

static const struct jmp_method both[] = { { .name = "both", .call = both_call, .serve = both_serve }, {} };
static const struct jmp_method neither[] = { { .name = "neither" }, {} };
static const struct jmp_method shared[] = { { .name = "shared", .call = both_call, .shared = true }, {} };
static const struct jmp_option outside[] = { { .key = "far", .type = JMP_STRING, .offset = 4000 }, {} };
static const struct jmp_option overlapping[] = { { .key = "wide", .type = JMP_NUMBER, .offset = 0 }, {} };
static const struct jmp_child childless[] = { { "ghost", NULL }, {} };
static const struct jmp_driver_class endless;
static const struct jmp_child circle[] = { { "self", &endless }, {} };

#define GOOD .kind = "other", .client = "test.Client"
#define BAD(which, ...) \
    static const struct jmp_driver_class which = { JMP_DRIVER_HEAD, .name = #which, GOOD, __VA_ARGS__ }

static const struct jmp_driver_class wrong_abi = {
    .abi = JMP_DRIVER_ABI + 1, .class_size = sizeof(struct jmp_driver_class), .name = "wrong_abi", GOOD };
static const struct jmp_driver_class tiny = { .abi = JMP_DRIVER_ABI, .class_size = 16, .name = "tiny", GOOD };
static const struct jmp_driver_class nameless = { JMP_DRIVER_HEAD, GOOD };
static const struct jmp_driver_class small_rows = {
    .abi = JMP_DRIVER_ABI, .class_size = sizeof(struct jmp_driver_class), .option_size = 8,
    .method_size = sizeof(struct jmp_method), .name = "small_rows", GOOD, .options = outside };
BAD(huge, .size = 1u << 30);
BAD(two_functions, .methods = both);
BAD(no_function, .methods = neither);
BAD(shared_call, .methods = shared);
BAD(far_option, .size = sizeof(struct small), .options = outside);
BAD(wide_option, .size = sizeof(struct small), .options = overlapping);
BAD(no_child, .children = childless);
BAD(endless, .children = circle);
static const struct jmp_driver_class taken = { JMP_DRIVER_HEAD, .name = "part", GOOD };
BAD(fine, .size = sizeof(struct small));

JMP_PLUGIN(&wrong_abi, &tiny, &nameless, &small_rows, &huge, &two_functions, &no_function, &shared_call, &far_option,
           &wide_option, &no_child, &endless, &taken, &fine);
