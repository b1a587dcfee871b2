/* SPDX-License-Identifier: Apache-2.0 */
/* See switch.h. Floating-point control words are not saved: nobody changes them here. RT_UCONTEXT
 * (tests/integration/portable.sh) asks for the form of other processors. */
#include "rt/switch.h"

#if defined(__x86_64__) && !defined(RT_UCONTEXT)

__asm__(".text\n"
        ".globl rt_switch_stack\n"
        ".hidden rt_switch_stack\n"
        ".type rt_switch_stack, @function\n"
        ".p2align 4\n"
        "rt_switch_stack:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size rt_switch_stack, .-rt_switch_stack\n");

void *rt_switch_prepare(void *bottom, void *top, void (*entry)(void))
{
    /* six registers, the address that `ret` takes, and an empty return address for entry(), which
     * then finds the stack aligned as after a call */
    void **sp = (void **)top - 8;
    for (int i = 0; i < 6; i++)
        sp[i] = NULL;
    sp[6] = (void *)entry;
    sp[7] = NULL;
    return sp;
}

#elif defined(__aarch64__) && !defined(RT_UCONTEXT)

__asm__(".text\n"
        ".globl rt_switch_stack\n"
        ".hidden rt_switch_stack\n"
        ".type rt_switch_stack, %function\n"
        ".p2align 4\n"
        "rt_switch_stack:\n"
        "    .cfi_startproc\n"
        "    hint #34\n" /* bti c */
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size rt_switch_stack, .-rt_switch_stack\n");

void *rt_switch_prepare(void *bottom, void *top, void (*entry)(void))
{
    void **sp = (void **)top - 20;
    for (int i = 0; i < 20; i++)
        sp[i] = NULL;
    sp[11] = (void *)entry; /* x30 */
    return sp;
}

#else

#include <signal.h>
#include <ucontext.h>

/* A "stack pointer" is a ucontext_t here: at the top of a task's stack, or in the frame of the
 * switch that left a stack. */
void rt_switch_stack(void **save_sp, void *load_sp)
{
    ucontext_t here;
    *save_sp = &here;
    /* the signal mask is the thread's, not the task's */
    pthread_sigmask(SIG_BLOCK, NULL, &((ucontext_t *)load_sp)->uc_sigmask);
    swapcontext(&here, load_sp);
}

void *rt_switch_prepare(void *bottom, void *top, void (*entry)(void))
{
    uintptr_t at = ((uintptr_t)top - sizeof(ucontext_t)) & ~(uintptr_t)63;
    ucontext_t *uc = (ucontext_t *)at;
    getcontext(uc);
    uc->uc_stack.ss_sp = bottom;
    uc->uc_stack.ss_size = at - (uintptr_t)bottom;
    uc->uc_link = NULL;
    makecontext(uc, entry, 0);
    return uc;
}

#endif
