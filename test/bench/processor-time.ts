import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Processor time that a process has used so far, its threads and the kernel's work for it included, in microseconds (to the hundredth of a second). */
export function processorTimeUs(pid: number): number {
  if (process.platform !== 'linux') return fromPs(execFileSync('ps', ['-o', 'time=', '-p', String(pid)], { encoding: 'utf8' }));
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  // `pid (command) state …`: the command may hold anything; user and system time are the 14th and 15th field, in hundredths.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** `[[dd-]hh:]mm:ss[.cc]` */
function fromPs(text: string): number {
  const [rest = '', days = '0'] = text.trim().split('-').reverse();
  const seconds = rest.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return (Number(days) * 86_400 + seconds) * 1_000_000;
}
