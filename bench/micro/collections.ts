/** What the garbage collector did, and how much was allocated, from here on. */
import { constants, PerformanceObserver } from 'node:perf_hooks';
import type { PerformanceEntry } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

export interface Collections { minorCollections: number; majorCollections: number }

export class CollectionCount {
  private minorCollections = 0;
  private majorCollections = 0;
  private readonly observer: PerformanceObserver;
  private readonly heapBefore: number;

  constructor() {
    this.observer = new PerformanceObserver((list) => this.count(list.getEntries()));
    this.observer.observe({ entryTypes: ['gc'] });
    this.heapBefore = getHeapStatistics().used_heap_size;
  }

  /** Bytes the heap has grown by; collections in between hide some, which is why they are counted too. */
  allocatedBytes(): number { return Math.max(0, getHeapStatistics().used_heap_size - this.heapBefore); }

  /** The collections so far; entries come to the observer only when the event loop has turned. */
  end(): Collections {
    this.count(this.observer.takeRecords());
    this.observer.disconnect();
    const { minorCollections, majorCollections } = this;
    return { minorCollections, majorCollections };
  }

  private count(entries: readonly PerformanceEntry[]): void {
    for (const entry of entries) {
      const { kind } = (entry as PerformanceEntry & { detail: { kind: number } }).detail;
      if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) this.majorCollections++;
      else if (kind === constants.NODE_PERFORMANCE_GC_MINOR) this.minorCollections++;
    }
  }
}
