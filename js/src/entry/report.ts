/** The HTML report; mounts nothing yet. */
document.documentElement.classList.add("graphscope");
