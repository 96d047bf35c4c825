// A worker's clock: the page's own timers are slowed down when its tab is hidden, a worker's are not.

let timer = null;
self.onmessage = ({ data: interval }) => {
  clearInterval(timer);
  timer = interval ? setInterval(() => self.postMessage(null), interval) : null;
};
