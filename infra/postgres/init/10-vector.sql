-- Run once, when the database is made: by the image's entry point, or by hand on a server of your own.
CREATE EXTENSION IF NOT EXISTS vector;
