"""What docs.sh runs besides MkDocs: pages made from the code, figures, and tables of costs."""
