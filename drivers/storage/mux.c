/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/storage/mux.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "base/limits.h"

#define LOOK_AGAIN (JMP_USEC_PER_SEC / 4)
#define PATIENCE (5 * JMP_USEC_PER_SEC) /* so long may the end of a cancelled transfer wait for its device */

static int mux_select(struct jmp_mux *mux, struct jmp_call *call, enum jmp_mux_position position)
{
    int r;

    r = mux->select(mux, call, position);
    /* After a failure nobody knows. */
    mux->position = r < 0 ? JMP_MUX_UNKNOWN : position;
    return r;
}

/* While the mux is busy nothing can be read from @idle, so all who wait for it wake up at once when it is not. */
static void set_busy(struct jmp_mux *mux, bool busy)
{
    mux->busy = busy;
    if (busy)
        eventfd_read(mux->idle, &(eventfd_t){ 0 });
    else
        eventfd_write(mux->idle, 1);
}

/* From here on the mux is this call's, until set_busy(). Whoever has just cancelled a transfer says at once where the
 * medium is to go: its end is waited for, not a whole image's. */
static int begin(struct jmp_mux *mux, struct jmp_call *call)
{
    uint64_t deadline = jmp_now() + PATIENCE;
    int r = 0;

    while (r >= 0 && mux->busy) /* another one may have been faster */
        r = jmp_call_wait(call, mux->idle, POLLIN, deadline);
    if (r == -ETIMEDOUT)
        return jmp_call_fail(call, -EBUSY, "an image is being transferred; wait for its end, or cancel it");
    if (r < 0)
        return r;
    set_busy(mux, true);
    return 0;
}

static int mux_switch(void *self, struct jmp_call *call, enum jmp_mux_position position)
{
    struct jmp_mux *mux = self;
    enum jmp_mux_position from;
    int r;

    r = begin(mux, call); /* selecting may wait, and then others come by */
    if (r < 0)
        return r;
    from = mux->position;
    r = mux_select(mux, call, position);
    set_busy(mux, false);
    if (r == 0)
        mux->before = position == JMP_MUX_HOST && from != JMP_MUX_HOST ? from : position;
    return r;
}

/* Where the medium is. With a search: it may take a while to appear. */
static int find_path(struct jmp_mux *mux, struct jmp_call *call, char *path, size_t size)
{
    uint64_t deadline = jmp_now() + (uint64_t)(mux->disk.timeout * (double)JMP_USEC_PER_SEC);
    int r, waited;

    if (mux->disk.device || !mux->find) {
        snprintf(path, size, "%s", mux->disk.device);
        return 0;
    }
    for (;;) {
        r = mux->find(mux, call, path, size);
        if (r != -ENOENT)
            return r;
        if (jmp_now() >= deadline)
            return jmp_call_fail(call, -ETIMEDOUT, "the medium did not appear at the host within %.3g s",
                                 mux->disk.timeout);
        waited = jmp_call_wait(call, -1, 0, jmp_now() + LOOK_AGAIN);
        if (waited < 0)
            return waited;
    }
}

static void go_back(struct jmp_mux *mux, struct jmp_call *call, enum jmp_mux_position position)
{
    static const char *const names[] = { "an unknown place", "the host", "the board", "nowhere" };

    if (position == mux->position || position == JMP_MUX_UNKNOWN)
        return;
    if (mux->select(mux, call, position) < 0) {
        mux->position = JMP_MUX_UNKNOWN;
        jmp_call_log(call, JMP_LOG_ERROR, "the storage cannot be switched back to %s", names[position]);
        return;
    }
    mux->position = position;
    jmp_call_log(call, JMP_LOG_WARNING, "storage switched back to %s, where it was", names[position]);
}

/* Its stream may end before its call does: then all that is seen is that nobody sends or takes the image any more. */
static bool client_has_gone(int error)
{
    return error == -ECANCELED || error == -ECONNRESET || error == -EPIPE;
}

static int transfer(struct jmp_mux *mux, struct jmp_call *call,
                    int (*move)(struct jmp_disk *disk, struct jmp_call *call, const char *path, const char *arg),
                    const char *arg)
{
    enum jmp_mux_position from;
    char path[4096];
    int r;

    r = begin(mux, call);
    if (r < 0)
        return r;
    from = mux->position;
    r = mux_select(mux, call, JMP_MUX_HOST); /* also when it is there: others may have moved it, or its plug was out */
    if (r == 0)
        r = find_path(mux, call, path, sizeof(path));
    if (r == 0)
        r = move(&mux->disk, call, path, arg);
    /* The client that is still there says itself where the medium goes; one that has gone does not. */
    if (r < 0)
        go_back(mux, call, from == JMP_MUX_HOST && client_has_gone(r) ? mux->before : from);
    set_busy(mux, false);
    return r;
}

static int mux_host(void *self, struct jmp_call *call)
{
    return mux_switch(self, call, JMP_MUX_HOST);
}
static int mux_dut(void *self, struct jmp_call *call)
{
    return mux_switch(self, call, JMP_MUX_DUT);
}
static int mux_off(void *self, struct jmp_call *call)
{
    return mux_switch(self, call, JMP_MUX_OFF);
}
static int mux_write(void *self, struct jmp_call *call)
{
    return transfer(self, call, jmp_disk_write, "source");
}
static int mux_read(void *self, struct jmp_call *call)
{
    return transfer(self, call, jmp_disk_read, "sink");
}

const struct jmp_method jmp_mux_methods[] = {
    { .name = "host", .call = mux_host },
    { .name = "dut", .call = mux_dut },
    { .name = "off", .call = mux_off },
    { .name = "write", .args = { { "source", JMP_NODE } }, .call = mux_write },
    { .name = "read", .args = { { "sink", JMP_NODE } }, .call = mux_read },
    {}
};

int jmp_mux_open(struct jmp_mux *mux, struct jmp_call *call)
{
    mux->idle = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    return mux->idle < 0 ? jmp_call_fail(call, -errno, "no event: %m") : 0;
}

int jmp_mux_reset(void *self, struct jmp_call *call)
{
    struct jmp_mux *mux = self;

    jmp_disk_forget(&mux->disk);
    return 0;
}

void jmp_mux_close(void *self)
{
    struct jmp_mux *mux = self;

    jmp_disk_forget(&mux->disk);
    mux->idle = jmp_close(mux->idle);
}
