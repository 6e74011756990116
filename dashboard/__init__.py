"""The browser front end of Groundbreak; it will build on `simulator` results. Nothing is served from here yet."""
