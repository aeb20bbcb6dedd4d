/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/kube.h"

#include <signal.h>
#include <sys/prctl.h>

#include "config/yaml.h"

static void on_signal(int signal, void *user)
{
    struct jmp_ctl_kube *kube = user;

    kube->signal = signal;
    jmp_loop_exit(kube->loop, 0);
}

int jmp_ctl_kube_open(struct jmp_ctl_kube *kube, const struct jmp_kube_options *options, struct jmp_error *reterr)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    struct jmp_kube_access *access = NULL;
    int r;

    /* What the kubeconfig and its plug-ins say in confidence is not for a core file; programs that we run are not
     * concerned. */
    prctl(PR_SET_DUMPABLE, 0);
    r = jmp_kube_access_load(options->kubeconfig, options->context, NULL, jmp_yaml_parse, &access, reterr);
    if (r < 0)
        return r;
    r = jmp_loop_new(&kube->loop);
    for (size_t i = 0; r == 0 && i < ELEMENTSOF(signals); i++)
        r = jmp_loop_signal(kube->loop, signals[i], on_signal, kube);
    if (r < 0) {
        jmp_kube_access_free(access);
        return jmp_error_set(reterr, r, "%m");
    }
    return jmp_kube_new(kube->loop, access, &kube->kube, reterr);
}

void jmp_ctl_kube_close(struct jmp_ctl_kube *kube)
{
    kube->kube = jmp_kube_free(kube->kube);
    kube->loop = jmp_loop_free(kube->loop);
    json_decref(kube->answer);
    kube->answer = NULL;
}

int jmp_ctl_wait(struct jmp_ctl_kube *kube)
{
    if (kube->signal == 0)
        jmp_loop_run(kube->loop);
    if (kube->signal != 0)
        return -ECANCELED;
    jmp_loop_resume(kube->loop);
    return 0;
}

static void on_answer(const struct jmp_kube_status *status, json_t *answer, void *user)
{
    struct jmp_ctl_kube *kube = user;

    kube->status = *status;
    json_decref(kube->answer);
    kube->answer = json_incref(answer);
    kube->done = true;
    jmp_loop_exit(kube->loop, 0);
}

static int take_answer(struct jmp_ctl_kube *kube, struct jmp_kube_request *request, json_t **ret,
                       struct jmp_error *reterr)
{
    int r = jmp_ctl_wait(kube);

    if (r < 0) {
        if (!kube->done)
            jmp_kube_cancel(request);
        return r;
    }
    if (kube->status.reason != JMP_KUBE_OK)
        return jmp_kube_status_error(&kube->status, reterr);
    if (ret)
        *ret = TAKE_PTR(kube->answer);
    return 0;
}

int jmp_ctl_ask(struct jmp_ctl_kube *kube, const struct jmp_kube_call *call, json_t **ret, struct jmp_error *reterr)
{
    struct jmp_kube_request *request;
    int r;

    kube->done = false;
    r = jmp_kube_request(kube->kube, call, on_answer, kube, &request);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return take_answer(kube, request, ret, reterr);
}

int jmp_ctl_ask_object(struct jmp_ctl_kube *kube, const char *method, const char *group, const char *version,
                       const char *namespace_, const char *plural, const char *name, const char *query, json_t **ret,
                       struct jmp_error *reterr)
{
    _cleanup_free_ char *path = jmp_kube_path(group, version, namespace_, plural, name);
    const struct jmp_kube_call call = { .method = method, .path = path };
    struct jmp_kube_request *request;
    int r;

    if (!path)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    if (name)
        return jmp_ctl_ask(kube, &call, ret, reterr);
    kube->done = false;
    r = jmp_kube_list(kube->kube, path, query, on_answer, kube, &request);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return take_answer(kube, request, ret, reterr);
}

struct sleep {
    struct jmp_timer timer;
    struct jmp_loop *loop;
};

static void on_awake(struct jmp_timer *timer) { jmp_loop_exit(CONTAINER_OF(timer, struct sleep, timer)->loop, 0); }

int jmp_ctl_sleep(struct jmp_ctl_kube *kube, uint64_t usec)
{
    struct sleep sleep = { .loop = kube->loop };
    int r;

    r = jmp_timer_start(kube->loop, &sleep.timer, usec, on_awake);
    if (r == 0)
        r = jmp_ctl_wait(kube);
    jmp_timer_close(&sleep.timer);
    return r;
}
