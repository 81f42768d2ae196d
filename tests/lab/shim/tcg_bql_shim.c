/* SPDX-License-Identifier: GPL-3.0-or-later */
/* LD_PRELOAD shim for COLO under TCG (no KVM): three flaws of QEMU that only TCG shows.
 *
 * 1. The COLO thread calls qemu_savevm_live_state()
 * WITHOUT the BQL; under TCG the dirty-log sync does run_on_cpu() -> qemu_cond_wait(&qemu_work_cond,&BQL)
 * on a mutex it does not own -> it leaves with the BQL held = self-deadlock at the next lock.
 * Here: a cond wait on a mutex the caller does not own becomes: take the mutex, broadcast every condvar ever
 * waited on with that mutex (re-kicks the halted vCPU thread, whose first kick may have been lost as it was sent
 * without the BQL), release, nap, return (spurious wakeup; caller loops on wi.done).
 *
 * 2. A sync of the dirty bitmap clears bits without telling the vCPUs' TLBs where the migration had all of those pages to
 * send anyway. What the guest then writes to pages that its TLB has for dirty goes unseen until the TLB is flushed, and
 * never reaches the standby: seen in 6 of 12 first checkpoints, up to 24 pages (10.0.13), and the standby's kernel
 * panics. The sync ends with a run_on_cpu() for each vCPU, whose wait is where a flush is put behind it; a vCPU
 * carries it out before it runs again.
 *
 * 3. A checkpoint writes the standby's memory behind TCG's back: what was translated of code that it replaced is executed
 * all the same. Until 10.1 each load of a CPU's state forgot all translations; since 10.2 (84142184899) only a run state
 * does that which COLO does not have. A guest that boots in lockstep replaces much code: its kernel then failed on the
 * standby alone (11.1.3, once in 3 boots of q35 with UEFI and 2 vCPUs). The standby stops its vCPUs before each load, and
 * waits for them: there they are told to forget, which they do when the last has stopped, or after that. */
#define _GNU_SOURCE
#include <pthread.h>
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
static int (*real)(pthread_cond_t*,pthread_mutex_t*);
static __thread int tid;
#define N 256
static struct {pthread_cond_t*c;pthread_mutex_t*m;} volatile tab[N]; static volatile int n; static pthread_mutex_t tl=PTHREAD_MUTEX_INITIALIZER;
/* QEMU exports these for its modules; run_on_cpu_data is a union of the size of a pointer. */
typedef void (*cpu_work)(void*cpu,void*data);
static void flush(void*cpu,void*data){
  static void(*tlb_flush)(void*cpu);
  if(!tlb_flush) tlb_flush=dlsym(RTLD_DEFAULT,"tlb_flush");
  tlb_flush(cpu);
}
static int named(const char*name,const char*older){
  char mine[16]=""; prctl(PR_GET_NAME,mine); return !strcmp(mine,name)||!strcmp(mine,older);
}
static void flush_behind_sync(void){
  static void*(*get_cpu)(int index); static void(*later)(void*cpu,cpu_work work,void*data);
  static __thread int migrates=-1;
  if(migrates<0) migrates=named("mig/src/main","live_migration");
  if(!migrates) return;
  if(!get_cpu){ later=dlsym(RTLD_DEFAULT,"async_run_on_cpu"); get_cpu=dlsym(RTLD_DEFAULT,"qemu_get_cpu"); }
  void*cpu; for(int i=0;(cpu=get_cpu(i));i++) later(cpu,flush,0);
}
static void forget_before_load(void){
  static void*(*get_cpu)(int index); static void(*forget)(void*cpu);
  static __thread int loads=-1;
  if(loads<0) loads=named("mig/dst/colo","COLO incoming");
  if(!loads) return;
  if(!get_cpu){ forget=dlsym(RTLD_DEFAULT,"queue_tb_flush"); get_cpu=dlsym(RTLD_DEFAULT,"qemu_get_cpu"); }
  if(!forget) return; /* before 10.2 it is tb_flush, and QEMU calls it by itself */
  void*cpu; for(int i=0;(cpu=get_cpu(i));i++) forget(cpu);
}
int pthread_cond_wait(pthread_cond_t*c,pthread_mutex_t*m){
  flush_behind_sync();
  forget_before_load();
  if(!real) real=dlvsym(RTLD_NEXT,"pthread_cond_wait","GLIBC_2.3.2");
  if(!tid) tid=syscall(SYS_gettid);
  if(m->__data.__owner!=tid){
    pthread_mutex_lock(m); int k=n; for(int i=0;i<k;i++) if(tab[i].m==m) pthread_cond_broadcast(tab[i].c);
    pthread_mutex_unlock(m); usleep(300); return 0; }
  int i,k=n; for(i=0;i<k;i++) if(tab[i].c==c&&tab[i].m==m) break;
  if(i==k){ pthread_mutex_lock(&tl); if(n<N){tab[n].c=c;tab[n].m=m;__sync_synchronize();n++;} pthread_mutex_unlock(&tl);}
  return real(c,m);
}
