/* SPDX-License-Identifier: GPL-3.0-or-later */
/* LD_PRELOAD shim for COLO under TCG (no KVM). The COLO thread calls qemu_savevm_live_state()
 * WITHOUT the BQL; under TCG the dirty-log sync does run_on_cpu() -> qemu_cond_wait(&qemu_work_cond,&BQL)
 * on a mutex it does not own -> it leaves with the BQL held = self-deadlock at the next lock.
 * Here: a cond wait on a mutex the caller does not own becomes: take the mutex, broadcast every condvar ever
 * waited on with that mutex (re-kicks the halted vCPU thread, whose first kick may have been lost as it was sent
 * without the BQL), release, nap, return (spurious wakeup; caller loops on wi.done). */
#define _GNU_SOURCE
#include <pthread.h>
#include <dlfcn.h>
#include <unistd.h>
#include <sys/syscall.h>
static int (*real)(pthread_cond_t*,pthread_mutex_t*);
static __thread int tid;
#define N 256
static struct {pthread_cond_t*c;pthread_mutex_t*m;} volatile tab[N]; static volatile int n; static pthread_mutex_t tl=PTHREAD_MUTEX_INITIALIZER;
int pthread_cond_wait(pthread_cond_t*c,pthread_mutex_t*m){
  if(!real) real=dlvsym(RTLD_NEXT,"pthread_cond_wait","GLIBC_2.3.2");
  if(!tid) tid=syscall(SYS_gettid);
  if(m->__data.__owner!=tid){
    pthread_mutex_lock(m); int k=n; for(int i=0;i<k;i++) if(tab[i].m==m) pthread_cond_broadcast(tab[i].c);
    pthread_mutex_unlock(m); usleep(300); return 0; }
  int i,k=n; for(i=0;i<k;i++) if(tab[i].c==c&&tab[i].m==m) break;
  if(i==k){ pthread_mutex_lock(&tl); if(n<N){tab[n].c=c;tab[n].m=m;__sync_synchronize();n++;} pthread_mutex_unlock(&tl);}
  return real(c,m);
}
