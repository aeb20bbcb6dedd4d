/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/network/resolve.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/limits.h"

/*
 * getaddrinfo() can take many seconds and cannot be interrupted. It runs on a thread of its own which is left behind
 * when nobody waits any more; the last one out frees the question.
 */
struct question {
    atomic_uint users;
    struct addrinfo hints;
    char *host;
    char service[16];
    int done;              /* eventfd, readable once @answered */
    atomic_bool answered;  /* orders what follows between the two threads */
    int result;            /* of getaddrinfo() */
    struct addrinfo *answer;
};

static void question_unref(struct question *question)
{
    if (atomic_fetch_sub(&question->users, 1) != 1)
        return;

    if (question->answer)
        freeaddrinfo(question->answer);
    jmp_close(question->done);
    free(question->host);
    free(question);
}

JMP_DEFINE_CLEANUP(struct question *, question_unref)

static void *question_thread(void *data)
{
    struct question *question = data;
    const uint64_t one = 1;

    question->result = getaddrinfo(question->host, question->service, &question->hints, &question->answer);
    atomic_store(&question->answered, true);
    /* An eventfd that was never written takes this at once. */
    while (write(question->done, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    question_unref(question);
    return NULL;
}

/* NULL with errno set when there is no memory or no descriptor left */
static struct question *question_new(const char *host, unsigned port, int type)
{
    _cleanup_(question_unrefp) struct question *question = calloc(1, sizeof(*question));

    if (!question)
        return NULL;

    atomic_init(&question->users, 1);
    question->hints = (struct addrinfo){ .ai_family = AF_UNSPEC, .ai_socktype = type, .ai_flags = AI_NUMERICSERV };
    snprintf(question->service, sizeof(question->service), "%u", port);
    question->done = eventfd(0, EFD_CLOEXEC);
    question->host = strdup(host);
    if (question->done < 0 || !question->host)
        return NULL;

    return TAKE_PTR(question);
}

static int question_start(struct question *question)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int r;

    r = -pthread_attr_init(&attributes);
    if (r < 0)
        return r;

    atomic_fetch_add(&question->users, 1);
    /* Signals belong to the loop's thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (r == 0)
        r = -pthread_create(&thread, &attributes, question_thread, question);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);

    if (r < 0)
        question_unref(question);
    return r;
}

static int resolver_errno(int result)
{
    switch (result) {
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno > 0 ? -errno : -EIO;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -EHOSTUNREACH;
    }
}

static int copy_addresses(const struct addrinfo *list, struct jmp_endpoint ret[JMP_ENDPOINTS_MAX])
{
    int count = 0;

    for (const struct addrinfo *info = list; info && count < (int)JMP_ENDPOINTS_MAX; info = info->ai_next) {
        if (info->ai_addrlen > sizeof(ret[count].address))
            continue;
        memcpy(&ret[count].address, info->ai_addr, info->ai_addrlen);
        ret[count].length = info->ai_addrlen;
        count++;
    }

    return count;
}

int jmp_network_resolve(struct jmp_call *call, const char *host, unsigned port, int type, uint64_t deadline,
                        struct jmp_endpoint ret[JMP_ENDPOINTS_MAX])
{
    _cleanup_(question_unrefp) struct question *question = NULL;
    int count, r;

    question = question_new(host, port, type);
    if (!question)
        return jmp_call_fail(call, -errno, "%s cannot be looked up: %m", host);

    /* An address needs no name server, and so no thread. */
    question->hints.ai_flags |= AI_NUMERICHOST;
    question->result = getaddrinfo(host, question->service, &question->hints, &question->answer);
    if (question->result == EAI_NONAME) {
        question->hints.ai_flags &= ~AI_NUMERICHOST;
        r = question_start(question);
        if (r < 0)
            return jmp_call_fail(call, r, "%s cannot be looked up: %m", host);

        r = jmp_call_wait(call, question->done, POLLIN, deadline);
        if (r == -ETIMEDOUT)
            return jmp_call_fail(call, r, "the name servers did not answer in time when asked for %s", host);
        if (r < 0)
            return r;
        if (!atomic_load(&question->answered))
            return jmp_call_fail(call, -EIO, "the answer about %s was lost", host);
    }

    if (question->result != 0)
        return jmp_call_fail(call, resolver_errno(question->result), "%s cannot be looked up: %s", host,
                             gai_strerror(question->result));

    count = copy_addresses(question->answer, ret);
    if (count == 0)
        return jmp_call_fail(call, -EHOSTUNREACH, "%s has no address that can be used", host);

    return count;
}

/* "ADDRESS:PORT", IPv6 in brackets */
static int endpoint_print(const struct jmp_endpoint *endpoint, char ret[JMP_ENDPOINT_TEXT])
{
    const struct sockaddr *address = (const struct sockaddr *)&endpoint->address;
    char host[JMP_ENDPOINT_TEXT - 10], port[8];
    int r;

    r = getnameinfo(address, endpoint->length, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    if (r != 0)
        return -EINVAL;

    snprintf(ret, JMP_ENDPOINT_TEXT, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

static uint64_t deadline_after(double seconds)
{
    return jmp_now() + (uint64_t)(seconds * (double)JMP_USEC_PER_SEC);
}

static int connect_one(struct jmp_call *call, const struct jmp_endpoint *endpoint, int type, uint64_t deadline,
                       int *ret)
{
    _cleanup_close_ int fd = -EBADF;
    socklen_t length = sizeof(int);
    int error = 0, r;

    fd = socket(endpoint->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;

    if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) < 0) {
        if (errno != EINPROGRESS && errno != EINTR)
            return -errno;

        r = jmp_call_wait(call, fd, POLLOUT, deadline);
        if (r < 0)
            return r;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            return -errno;
        if (error != 0)
            return -error;
    }

    *ret = TAKE_FD(fd);
    return 0;
}

int jmp_network_connect(struct jmp_call *call, const char *host, unsigned port, int type, double seconds, int *ret)
{
    struct jmp_endpoint endpoints[JMP_ENDPOINTS_MAX] = { 0 };
    uint64_t deadline = deadline_after(seconds);
    char tried[JMP_ENDPOINTS_MAX * (JMP_ENDPOINT_TEXT + 2)] = "";
    int count, r = -EHOSTUNREACH;

    count = jmp_network_resolve(call, host, port, type, deadline, endpoints);
    if (count < 0)
        return count;

    for (int i = 0; i < count; i++) {
        uint64_t now = jmp_now();
        uint64_t left = deadline > now ? deadline - now : 0;
        size_t used = strlen(tried);
        char text[JMP_ENDPOINT_TEXT];

        r = connect_one(call, &endpoints[i], type, now + left / (unsigned)(count - i), ret);
        if (r == 0 || r == -ECANCELED)
            return r;
        if (endpoint_print(&endpoints[i], text) == 0)
            snprintf(tried + used, sizeof(tried) - used, "%s%s", used > 0 ? ", " : "", text);
    }

    return jmp_call_fail(call, r, "no connection to %s port %u (%s): %m", host, port, tried);
}

int jmp_network_reply_address(struct jmp_call *call, const char *scheme, const char *host, unsigned port, int type,
                              bool enabled, double seconds)
{
    struct jmp_endpoint endpoints[JMP_ENDPOINTS_MAX] = { 0 };
    char text[JMP_ENDPOINT_TEXT], url[JMP_ENDPOINT_TEXT + 16];
    int r;

    if (!enabled)
        return jmp_call_fail(call, -EINVAL, "the address is not given away (enable_address is false); "
                             "forward a port through the exporter instead");

    r = jmp_network_resolve(call, host, port, type, deadline_after(seconds), endpoints);
    if (r < 0)
        return r;

    r = endpoint_print(&endpoints[0], text);
    if (r < 0)
        return jmp_call_fail(call, r, "the address of %s cannot be written down", host);

    snprintf(url, sizeof(url), "%s://%s", scheme, text);
    jmp_writer_string(jmp_call_reply(call), url);
    return 0;
}
